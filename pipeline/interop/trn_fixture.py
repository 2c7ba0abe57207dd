"""Run the recognizer of a parity fixture of MMAction2 and compare tensors, draws and schedule with upstream's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import near
from pipeline.interop.checked_config import Checked
from pipeline.interop.compare_fixture import ABSOLUTE, RELATIVE, Difference, ParityReport, compare
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Array, Expected, read_arrays, rule_weight
from pipeline.interop.mmaction2_recognizer import RecognizerShape, our_key, recognizer_shape
from pipeline.interop.reading import reading
from pipeline.interop.trn_draws import head_draws, normal, numpy_draws, relations_of
from pipeline.interop.trn_head import KINDS, head_settings
from pipeline.models.backbones.resnet2d import ResNet2d
from pipeline.models.backbones.resnet3d import R50, R101
from pipeline.models.heads import trn, tsn
from pipeline.models.heads.trn import RelationHead
from pipeline.models.recognizer import Recognizer, build_recognition_head
from pipeline.models.relations import Relations, count_relations

_BLOCKS = {50: R50, 101: R101}
_OTHER_SEED = "cls_score_numpy_seed"
_DRAWS = "relation_draws_numpy_seed"


def is_recognizer(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    hyper = facts.get("hyper")
    backbone = hyper.get("backbone") if isinstance(hyper, dict) else None
    return isinstance(backbone, dict) and str(backbone.get("type", "")).startswith("ResNet (2D)")


def check_recognizer(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Build the recognizer that a fixture describes, fill its weights by the rule, run it and compare every number.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or describes something that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        recognizer, differences = _described(facts)
        differences += _draws(recognizer, facts)
        segments = facts["hyper"]["head"]["num_segments"]
        for name, variant in _variants(facts["tensors"], arrays).items():
            differences += _run(recognizer, segments, name, variant)
        stated = facts["parameter_count"]
    parameters = sum(each.numel() for each in recognizer.parameters())
    upstream = f"MMAction2 {facts.get('upstream_version', '')}".strip()
    return ParityReport(facts.get("fixture", path.stem), upstream, (parameters, stated), None, differences)


def _described(facts: Mapping[str, Any]) -> tuple[Recognizer, list[Difference]]:
    """Build the recognizer with weights by the rule; compare the numbers that `hyper` states of its head."""
    hyper = Checked(facts["hyper"], "hyper")
    shapes = {key: sides for key, sides, *_ in facts["state_dict"]}
    shape = recognizer_shape(shapes)
    backbone, head = hyper.block("backbone"), hyper.block("head")
    backbone.take("type")
    blocks = _BLOCKS[backbone.one_of("depth", *_BLOCKS)]
    backbone.fixed("style", "pytorch")
    backbone.fixed("strides", [1, 2, 2, 2])
    backbone.fixed("dilations", [1, 1, 1, 1])
    backbone.without_effect("norm_eval", "partial_bn")  # of training
    kind = head.one_of("relation_type", *KINDS) if "relation_type" in head.values else None
    if KINDS.get(kind or "", "tsn") != shape.head:
        raise InputError(f"hyper.head.relation_type is {kind!r}, and the state dict is that of {shape.head}")
    segments = head.integer("num_segments")
    head.fixed("average_clips", "prob")
    with torch.device("meta"):
        network = ResNet2d(blocks, width=shape.width)
        scorer = build_recognition_head(
            head_settings(shape, head.take("dropout_ratio")),
            inputs=network.out_channels,
            segments=segments,
            classes=shape.classes,
        )
    recognizer = Recognizer(network, scorer)
    differences = _compare_head(head, scorer, shape, network.out_channels)
    hyper.finish()
    weights = {key: rule_weight(key, sides) for key, sides in shapes.items()}
    state, _ = fit_state(weights, recognizer.state_dict(), lambda key: our_key(key, shape))
    recognizer.load_state_dict(state, assign=True)
    return recognizer.eval(), differences


def _compare_head(given: Checked, head: Any, shape: RecognizerShape, inputs: int) -> list[Difference]:
    """Compare the numbers of the head with those of ours; each key of the block is then read."""
    mine: dict[str, Any] = {"num_classes": shape.classes, "in_channels": inputs, "init_std": tsn.INIT_STD}
    if isinstance(head, RelationHead):
        totals = [count_relations(head.segments, scale) for scale in head.sizes]
        mine |= {"init_std": trn.INIT_STD, "hidden_dim": shape.channels, "bottleneck_dim": shape.hidden}
        mine |= {"scales": list(head.sizes), "num_relations": totals}
        mine["subsample"] = [min(total, head.per_scale) if number else 1 for number, total in enumerate(totals)]
    stated = {key: given.take(key) for key in mine if key in given.values}
    return [near(f"hyper/{key}", mine[key], value, relative=0) for key, value in stated.items()]


def _draws(recognizer: Recognizer, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare what numpy draws for the stated seeds: the relations of each scale, by number and by segments."""
    differences = []
    for name in (key for key in facts if key.startswith(_DRAWS)):
        head, stated = recognizer.head, facts[name]
        sizes = head.sizes[1:] if isinstance(head, RelationHead) else ()
        if [each["scale"] for each in stated] != list(sizes):
            raise InputError(f"{name} has the scales {[each['scale'] for each in stated]}, expected {list(sizes)}")
        if not isinstance(head, RelationHead):
            continue
        random = np.random.RandomState(int(name.removeprefix(_DRAWS)))
        numbers = numpy_draws(random, head.segments, head.sizes, head.per_scale)
        relations = relations_of(numbers, head.segments, head.sizes)[1:]
        for mine, tuples, theirs in zip(numbers, relations, stated, strict=True):
            where = f"{name}/{theirs['scale']}"
            differences.append(near(f"{where}/indices", mine, theirs["relation_indices"], relative=0))
            differences.append(near(where, tuples, theirs["relations"], relative=0))
    return differences


@dataclass
class _Variant:
    """One input of a fixture, and what is stated of it."""

    seed: int
    shape: tuple[int, ...]
    expected: dict[str, Expected] = field(default_factory=dict)
    largest: float | None = None
    "Of the absolute scores."


def _variants(stated: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, _Variant]:
    """Sort what a fixture states of tensors by the input that they belong to."""
    variants = {}
    for name, known in stated.items():
        variant, _, tensor = name.partition("/")
        if tensor == "input":
            variants[variant] = _Variant(known["seed"], tuple(known["shape"]))
    for name, known in stated.items():
        variant, _, tensor = name.partition("/")
        if tensor == "absmax":
            variants[variant].largest = known
        elif tensor != "input":
            place = variants[variant].expected.setdefault(tensor, Expected())
            place.shape = tuple(known["shape"])
            place.statistics = {key: known[key] for key in ("mean", "std", "absmax") if key in known}
    for name, values in arrays.items():
        variant, _, tensor = name.partition("/")
        stem, _, part = tensor.rpartition("/")
        if part in ("first64", "strided64"):
            variants[variant].expected.setdefault(stem, Expected()).values[part] = values
        else:
            variants[variant].expected.setdefault(tensor, Expected()).values["full"] = values
    return variants


def _run(recognizer: Recognizer, segments: int, name: str, variant: _Variant) -> list[Difference]:
    """Run the recognizer on an input whose views stand one after the other, [clips, views * S, 3, H, W]."""
    shape, expected = variant.shape, variant.expected
    if len(shape) != 5 or shape[2] != 3 or shape[1] % segments:
        raise InputError(f"{name}/input has the shape {list(shape)}, expected [clips, views * {segments}, 3, H, W]")
    if "cls_score" not in expected:
        raise InputError(f"{name}/cls_score is missing, which is compared with the logits")
    views = normal(variant.seed, shape).reshape(-1, segments, *shape[2:])
    seen: dict[str, Tensor] = {}
    handles = [
        recognizer.backbone.register_forward_hook(lambda _, given, output: seen.update(backbone_out=output.clone())),
        recognizer.head.register_forward_pre_hook(lambda _, given: seen.update(pooled=given[0])),
    ]
    with torch.no_grad():
        seen["cls_score"] = recognizer(views, _drawn(recognizer, 0))
        for handle in handles:
            handle.remove()
        for key in expected:
            if key.startswith(_OTHER_SEED):
                seen[key] = recognizer.head(seen["pooled"], _drawn(recognizer, int(key.removeprefix(_OTHER_SEED))))
    scores_VK = seen["cls_score"].softmax(dim=1)
    seen["pred_score"] = scores_VK.reshape(shape[0], -1, scores_VK.shape[1]).mean(dim=1)
    found = []
    for key, each in expected.items():
        if key not in seen:
            raise InputError(f"tensor {name}/{key} is not known here")
        found.append(compare(f"{name}/{key}", seen[key], each))
    if variant.largest is not None:
        largest = float(seen["cls_score"].abs().max())
        found.append(near(f"{name}/absmax", largest, variant.largest, relative=RELATIVE, absolute=ABSOLUTE))
    return found


def _drawn(recognizer: Recognizer, seed: int) -> Relations | None:
    """Draw the relations that upstream draws with a seed; None for a head without relations."""
    head = recognizer.head
    return head_draws(head, np.random.RandomState(seed)) if isinstance(head, RelationHead) else None

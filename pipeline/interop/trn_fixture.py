"""Run the recognizer of a parity fixture of MMAction2 and compare tensors, draws and schedule with upstream's."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from pipeline.interop.trn_draws import head_draws, normal
from pipeline.interop.trn_head import KINDS, head_settings
from pipeline.models.backbones.resnet2d import ResNet2d
from pipeline.models.backbones.resnet3d import R50, R101
from pipeline.models.heads import trn, tsn
from pipeline.models.heads.trn import RelationHead
from pipeline.models.recognizer import Recognizer, build_recognition_head
from pipeline.models.relations import Relations, count_relations
from pipeline.training.schedule import Schedule, learning_rate

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
        inputs, expected = _expected(facts["tensors"], arrays)
        for variant, given in inputs.items():
            differences += _run(recognizer, variant, given, expected.get(variant, {}))
        if "training" in facts:
            differences += _schedule(Checked(facts["training"], "training"))
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
        head = recognizer.head
        drawn = head_draws(head, np.random.RandomState(int(name.removeprefix(_DRAWS)))) if _relates(head) else [[]]
        if len(drawn) - 1 != len(facts[name]):
            raise InputError(f"{name} has {len(facts[name])} scales, expected {len(drawn) - 1}")
        for mine, theirs in zip(drawn[1:], facts[name], strict=True):
            where = f"{name}/{theirs['scale']}"
            differences.append(near(where, mine, theirs["relations"], relative=0))
            numbers = [list(_all(recognizer, theirs["scale"])).index(each) for each in mine]
            differences.append(near(f"{where}/indices", numbers, theirs["relation_indices"], relative=0))
    return differences

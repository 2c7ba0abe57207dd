"""Run the network of a parity fixture of AlphAction and compare every tensor with upstream's."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.interop import alphaction
from pipeline.interop.alphaction_model import DescribedDetector, Structure, describe_alphaction
from pipeline.interop.compare_fixture import Difference, ParityReport, Seen, compare
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Array, Expected, read_arrays, rule_weight
from pipeline.interop.reading import reading
from pipeline.models.context import BankWindow, Context, ObjectBoxes, ObjectRows
from pipeline.models.detector import Detector
from pipeline.models.heads.aia import Interaction, InteractionHead
from pipeline.models.heads.head import Head, pool_persons
from pipeline.models.roi import extend_boxes

_PARTS = ("stat", "shape", "first64", "strided64", "rows_first32", "rows_mean")
_SEED = re.compile(r"RandomState\((\d+)\)\.standard_normal")


@dataclass(frozen=True)
class Case:
    """A fixture's network, with its weights, and its inputs."""

    described: DescribedDetector
    unused: int
    "Parameters that upstream has and never applies."
    clips: Tensor
    boxes_xyxy: Tensor
    clip_index: Tensor
    objects: ObjectBoxes | None
    window: BankWindow | None

    @property
    def detector(self) -> Detector:
        """Return the detector."""
        return self.described.detector


def check_alphaction(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Build the network that a fixture describes, fill its weights by the rule, run it and compare every tensor.

    Args:
        path: the fixture's JSON, for messages; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: a file is absent or of another kind, a hyper-parameter is not supported, or the described network
            has other keys than the fixture's state dict, or there is a tensor that is not known.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        case = _case(facts)
        expected = _expected(arrays)
        if "logits" not in expected:
            raise InputError("not a whole fixture: it has no logits to compare with")
        differences = [*_compared(case, expected, facts), *_extended(case, facts)]
    parameters = sum(each.numel() for each in case.detector.parameters()) + case.unused
    buffers = sum(each.numel() for each in case.detector.buffers())
    return ParityReport(
        str(facts.get("name", path.stem)),
        "AlphAction",
        (parameters, facts["n_parameters"]),
        (buffers, facts["n_buffer_elements"]),
        differences,
    )


def _expected(arrays: Mapping[str, Array]) -> dict[str, Expected]:
    tensors: dict[str, Expected] = {}
    for name, values in arrays.items():
        stem, _, part = name.rpartition(".")
        if part not in _PARTS:
            tensors.setdefault(name, Expected()).values["full"] = values
        elif part == "stat":
            tensors.setdefault(stem, Expected()).statistics = {"mean": float(values[0]), "std": float(values[1])}
        elif part == "shape":
            tensors.setdefault(stem, Expected()).shape = tuple(int(each) for each in values)
        else:
            tensors.setdefault(stem, Expected()).values[part] = values
    return tensors


def _case(facts: Mapping[str, Any]) -> Case:
    with torch.device("meta"):
        described = describe_alphaction(facts["resolved_config"])
    detector = described.detector
    weights = {key: rule_weight(key, shape) for key, shape, *_ in facts["state_dict"]}
    interacts = alphaction.has_interaction(weights)
    unused = alphaction.unused_keys(weights)
    try:
        state, _ = fit_state(
            weights, detector.state_dict(), lambda key: alphaction.our_key(key, interacts=interacts), drop=unused
        )
    except InputError as error:
        raise InputError(f"the described model has other weights than the fixture: {error}") from None
    detector.load_state_dict(state, assign=True)
    detector.eval()
    given = facts["inputs"]
    shape = (given["B"], 3, given["T"], given["H"], given["W"])
    clips = _normal(given["clip"], shape)
    _check_frames(described, given)
    persons = [torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) for boxes in facts["person_boxes_xyxy"]]
    if len(persons) != len(clips):
        raise InputError(f"there are boxes of {len(persons)} clips, expected {len(clips)}")
    structure = described.structure
    if structure and "P" in structure.order:
        _check_limit("persons", max(map(len, persons)), "upstream", structure.persons)
    return Case(
        described=described,
        unused=sum(weights[key].numel() for key in unused),
        clips=clips,
        boxes_xyxy=torch.cat(persons),
        clip_index=torch.repeat_interleave(torch.tensor([len(each) for each in persons])),
        objects=_objects(facts, structure) if structure and "O" in structure.order else None,
        window=_window(facts, structure, persons, detector.roi_channels)
        if structure and "M" in structure.order
        else None,
    )


def _normal(rule: str, shape: tuple[int, ...]) -> Tensor:
    """Draw float32 numbers with the seed that a rule in words names."""
    seed = _SEED.search(rule)
    if not seed:
        raise InputError(f"numbers are drawn by {rule!r}, expected RandomState(N).standard_normal")
    return torch.from_numpy(np.random.RandomState(int(seed[1])).standard_normal(shape).astype(np.float32))


def _check_frames(described: DescribedDetector, given: Mapping[str, Any]) -> None:
    """Check that the pathways get the frames that the fixture names."""
    tau, step = described.tau, described.tau // described.alpha
    for key, first, every in (("slow_index", tau // 2 - 1, tau), ("fast_index", 0, step)):
        expected = f"clip[:,:,{first}::{every}]"
        if given[key].replace(" ", "") != expected:
            raise InputError(f"inputs.{key} is {given[key]}, expected {expected} of TAU and ALPHA")


def _check_limit(what: str, most: int, who: str, limit: int) -> None:
    """Check that upstream takes all, as its draws cannot be repeated.

    Raises:
        InputError: a clip has more.
    """
    if most > limit:
        raise InputError(f"a clip has {most} {what}, of which {who} draws {limit}")


def _objects(facts: Mapping[str, Any], structure: Structure) -> ObjectBoxes:
    clips = facts["object_boxes_xyxy"] or [[] for _ in facts["person_boxes_xyxy"]]
    most = max(map(len, clips))
    _check_limit("objects", most, "upstream", structure.objects)
    boxes_BK4 = torch.zeros(len(clips), structure.objects, 4)
    mask_BK = torch.zeros(len(clips), structure.objects, dtype=torch.bool)
    for number, boxes in enumerate(clips):
        boxes_BK4[number, : len(boxes)] = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        mask_BK[number, : len(boxes)] = True
    return ObjectBoxes(boxes_BK4, mask_BK)


def _window(facts: Mapping[str, Any], structure: Structure, persons: list[Tensor], channels: int) -> BankWindow:
    memory = facts["memory"]
    counts_BS = torch.tensor(memory["counts"])
    shape = (len(persons), structure.seconds, structure.per_second)
    if tuple(counts_BS.shape) != shape[:2]:
        raise InputError(f"memory.counts are of {tuple(counts_BS.shape)} seconds, expected {shape[:2]}")
    own = counts_BS == -1
    if not own[:, structure.before].all() or own.sum() != len(own):
        raise InputError(f"memory.counts: expected -1, the clip itself, at second {structure.before} and nowhere else")
    _check_limit("persons", max(map(len, persons)), "upstream's memory", structure.per_second)
    mask_BSk = torch.arange(structure.per_second) < counts_BS[:, :, None]
    rows = _normal(memory["values"], (*shape, channels)) * mask_BSk[..., None]
    clip_index = torch.repeat_interleave(torch.tensor([len(each) for each in persons]))
    return BankWindow(rows.flatten(1, 2), mask_BSk.flatten(1, 2), clip_index)


def _compared(case: Case, expected: Mapping[str, Expected], facts: Mapping[str, Any]) -> list[Difference]:
    """Compare every tensor of a pass, and the change of the logits where the network sees no object or no memory."""
    with torch.no_grad():
        seen, roi, context = _run(case)
        differences = []
        for name, wanted in expected.items():
            if name not in seen:
                raise InputError(f"tensor {name} is not known here")
            differences.append(compare(name, seen[name], wanted))
        for name, change in facts.get("sensitivity_max_abs_logit_change", {}).items():
            logits = case.detector.head(roi, _without(name, context))
            found = (logits - seen["logits"]).abs().max()
            differences.append(_number(f"sensitivity/{name}", found, change))
    return differences


def _without(name: str, context: Context) -> Context:
    """Return a context without objects (`noobj`) or without any memory but the clip itself (`zeromem`)."""
    objects, window = context.objects, context.window
    if name == "noobj" and objects is not None:
        nothing = ObjectRows(torch.zeros_like(objects.rows), torch.zeros_like(objects.mask))
        return replace(context, objects=nothing)
    if name == "zeromem" and window is not None:
        empty = BankWindow(torch.zeros_like(window.rows), torch.zeros_like(window.mask), window.owner)
        return replace(context, window=empty)
    raise InputError(f"the change of the logits by {name} is not known here")


def _number(name: str, found: Tensor, expected: float) -> Difference:
    return compare(name, found.reshape(1), Expected(values={"full": np.array([expected])}))


def _extended(case: Case, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare the extended boxes of persons."""
    boxes = facts.get("person_boxes_extended_xyxy")
    if boxes is None:
        return []
    height, width = case.clips.shape[3:]
    found = extend_boxes(case.boxes_xyxy, case.detector.roi, width=width, height=height)
    values = np.array([box for clip in boxes for box in clip], dtype=np.float64).reshape(-1, 4)
    return [compare("person_boxes_extended", found, Expected(values={"full": values}))]


def _run(case: Case) -> tuple[Seen, Tensor, Context]:
    """Return intermediate tensors under the fixture's names, and what the head was given."""
    seen: Seen = {}
    given: list[Any] = []
    detector, head = case.detector, case.detector.head
    assert isinstance(head, Head)
    assert head.shared is not None
    body = head.shared
    handles = [head.register_forward_pre_hook(lambda _, inputs: given.extend(inputs))]
    layers: nn.Module = body
    if isinstance(body, InteractionHead):
        layers = body.layers
        handles += _hook_interaction(body, case, seen)
    for name in ("fc1", "fc2"):
        handles.append(layers.get_submodule(name).register_forward_hook(_keep(seen, f"{name}_prerelu")))
    handles.append(
        detector.backbone.register_forward_hook(
            lambda _, inputs, maps: seen.update(slow_feat=maps[0], fast_feat=maps[1])
        )
    )
    try:
        logits = detector(case.clips, case.boxes_xyxy, case.clip_index, case.window, case.objects)
    finally:
        for handle in handles:
            handle.remove()
    roi, context = given
    seen |= {"person_pooled": pool_persons(roi), "logits": logits}
    if context.objects is not None:
        seen["object_pooled"] = context.objects.rows[context.objects.mask]
    first = case.described.groups[0]
    seen["scores"] = torch.cat([logits[:, :first].softmax(dim=1), logits[:, first:].sigmoid()], dim=1)
    return seen, roi, context


def _hook_interaction(body: InteractionHead, case: Case, seen: Seen) -> list[Any]:
    """Keep what the interaction computes; objects and memory are given once per person, as upstream has them."""
    interaction = body.interaction
    handles = [interaction.register_forward_hook(_keep(seen, "ia_feature"))]
    for name, block in interaction.blocks.items():
        handles.append(block.register_forward_hook(_keep(seen, f"block.{name[0]}_block_{name[1:]}")))
    reductions = {
        "person_dim_reduce": interaction.reduce_person,
        "person_key_dim_reduce": interaction.reduce_key,
        "object_dim_reduce": interaction.reduce_object,
    }
    for name, layer in reductions.items():
        if layer is not None:
            handles.append(layer.register_forward_hook(_keep(seen, f"reduce.{name}", case.clip_index)))
    if interaction.reduce_memory is not None:
        handles.append(interaction.register_forward_pre_hook(_memory_keeper(case, seen)))
    return handles


def _memory_keeper(case: Case, seen: Seen) -> Callable[[nn.Module, tuple[Tensor, Context]], None]:
    """Compute the memory and its reduction, which our heads never do whole: they carry the query to the rows."""

    def keep(module: nn.Module, arguments: tuple[Tensor, Context]) -> None:
        assert isinstance(module, Interaction)
        assert module.reduce_memory is not None
        memory = module.memory_window(*arguments).rows
        seen["memory_tensor"] = memory
        seen["reduce.mem_dim_reduce"] = module.reduce_memory(memory)[case.clip_index].flatten(0, 1)

    return keep


def _keep(seen: Seen, name: str, clip_index: Tensor | None = None) -> Callable[[nn.Module, object, Tensor], None]:
    """Keep a module's output; rows [B, K, d] of clips become those of each person, [R * K, d]."""

    def keep(module: nn.Module, arguments: object, output: Tensor) -> None:
        per_person = clip_index is not None and output.dim() == 3
        seen[name] = output[clip_index].flatten(0, 1) if per_person else output.clone()

    return keep

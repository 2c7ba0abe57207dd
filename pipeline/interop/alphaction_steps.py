"""Train a detector as AlphAction did for some optimiser steps, and compare losses, gradients and updates.

A fixture of this kind gives boxes, labels, objects and what the memory holds, and names one of the published networks;
the weights follow the rule of all fixtures. The optimiser, the loss, the schedule and the memory are those of our
training; batches are made here, so that nothing is drawn.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.interop.alphaction import upstream_key
from pipeline.interop.alphaction_losses import (
    SIZES,
    accuracies,
    multi_hot,
    near,
    near_values,
    published_labels,
    published_rate,
    weighted_losses,
)
from pipeline.interop.alphaction_memory import BY_LOSS, Window, read_as_upstream
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.interop.fixtures import Array, read_arrays, rule_weight
from pipeline.interop.reading import reading
from pipeline.models.build import build_backbone
from pipeline.models.context import BankWindow, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.settings import RoiSettings
from pipeline.training.memory import Memory
from pipeline.training.optimiser import SGD, parameter_groups, set_rate

FIRST, LATER = 1e-4, 1e-3
"Tolerances of losses and what follows from them: later steps enlarge what the first one has rounded."
NORMS = 1e-3
NOTHING = 1e-6
"Numbers below this are rounding: a key's bias has no gradient but for it."
OBJECTS, PERSONS_PER_SECOND, SIDE = 5, 5, 30
_NAME = re.compile(r"resnet(50|101)_(4x16|8x8)f_(baseline|serial|denseserial|parallel)")
_INPUT = re.compile(r"RandomState\(i\)\.standard_normal\(\(([\d, ]+)\)\)")
_FRAMES = re.compile(r"slow = frames (\d+)::(\d+), fast = (\d+)::(\d+)")
_FEATURES = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\((\d+), ?(\d+)\)\)")
_HEADS = {
    "baseline": "two_layer",
    "serial": "aia_serial",
    "denseserial": "aia_dense_serial",
    "parallel": "aia_parallel",
}
_STRIDES = {"4x16": ("7", "16", "0", "2"), "8x8": ("3", "8", "0", "2")}


def is_train_steps(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return {"param_groups", "prefilled_pool", "iterations"} <= facts.keys()


def check_train_steps(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Train by the plan of a fixture and compare every number.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, is of another network, or has a rule that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        run = _start(facts)
        differences = _compare_groups(run, facts)
        for plan in facts["iterations"]:
            differences += _step(run, plan, facts, arrays)
        differences.append(_compare_pool(run, facts["pool_loss_tags"]))
    parameters = sum(each.numel() for each in run.detector.parameters())
    stated = sum(group["numel"] for group in facts["param_groups"])
    words = f"{FIRST:g} |x| in the first step, then {LATER:g} |x|"
    return ParityReport(path.stem, facts["upstream"].partition(",")[0], (parameters, stated), None, differences, words)


@dataclass
class _Run:
    """A training that is going on."""

    detector: Detector
    optimiser: SGD
    memory: Memory
    numbers: dict[tuple[str, int], int]
    "The number of each (movie, second) in the memory."
    names: dict[str, nn.Parameter]
    "Parameters by upstream's names."
    base: float
    "The rate of a group with factor 1 after the warm-up."


def _start(facts: Mapping[str, Any]) -> _Run:
    detector, names = _built(facts)
    factors = _factors(facts["param_groups"])
    groups = parameter_groups(
        detector,
        weight_decay=factors["weight_decay"],
        decayed="weights",
        bias_lr_factor=factors["bias"],
        interaction_lr_factor=factors["interaction"],
    )
    optimiser = SGD(groups, lr=factors["base"], momentum=0.9, nesterov=False)
    memory, numbers = _filled_memory(facts, detector.roi_channels)
    return _Run(detector, optimiser, memory, numbers, names, factors["base"])


def _built(facts: Mapping[str, Any]) -> tuple[Detector, dict[str, nn.Parameter]]:
    """Build the network that a fixture names, with weights by the rule; dropout is off, and it is in training mode."""
    name, frames = _NAME.search(facts["upstream"]), _FRAMES.search(facts["input"])
    if name is None:
        raise InputError(f"upstream is {facts['upstream']!r}, expected the name of a network, as {_NAME.pattern}")
    if frames is None or frames.groups() != _STRIDES[name[2]]:
        slow, tau, _, step = _STRIDES[name[2]]
        raise InputError(f"input is {facts['input']!r}, expected slow = frames {slow}::{tau}, fast = 0::{step}")
    interacts = name[3] != "baseline"
    with torch.device("meta"):
        backbone = build_backbone(f"alphaction_slowfast_r{name[1]}_{name[2]}")
        settings = HeadSettings(
            roi_channels=backbone.out_channels,
            bank_channels=backbone.out_channels if interacts else 0,
            classes=sum(SIZES),
            dropout=0.0,
            mask="none",
            window_seconds=2 * SIDE + 1,
            per_second=PERSONS_PER_SECOND,
            objects=OBJECTS if interacts else 0,
        )
        head = build_head(_HEADS[name[3]], settings, {"dropout": 0.0} if interacts else {})
        detector = Detector(backbone, head, roi=RoiSettings(output_size=7, aligned=False))
    state = {ours: rule_weight(upstream_key(ours), each.shape) for ours, each in detector.state_dict().items()}
    detector.load_state_dict(state, assign=True)
    detector.requires_grad_().train()
    detector.backbone.eval()  # its norms are frozen; in training it would draw the slow pathway's first frame
    return detector, {upstream_key(ours): parameter for ours, parameter in detector.named_parameters()}


def _factors(groups: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the rate of plain weights, how many times that of biases and of the interaction is, and the decay."""
    rates = {_kind(group): float(group["base_lr"]) for group in groups}
    base = rates[False, False]
    return {
        "base": base,
        "bias": rates.get((False, True), base) / base,
        "interaction": rates.get((True, False), base) / base,
        "weight_decay": max(group["weight_decay"] for group in groups),
    }


def _kind(group: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a group is of the interaction, and whether it is of biases."""
    first = group["examples"][0]
    return "ia_structure" in first, first.endswith("bias")


def _compare_groups(run: _Run, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare the optimiser's groups: how many parameters they have, their rates and decays."""
    theirs = {parameter: name for name, parameter in run.names.items()}
    set_rate(run.optimiser, run.base)
    mine = {}
    for group in run.optimiser.param_groups:
        names = [theirs[each] for each in group["params"]]
        kind = _kind({"examples": names})
        mine[kind] = [len(names), sum(each.numel() for each in group["params"]), group["lr"], group["weight_decay"]]
    found = []
    for group in facts["param_groups"]:
        stated = [group[key] for key in ("count", "numel", "base_lr", "weight_decay")]
        interaction, bias = _kind(group)
        name = f"group of {'interaction ' if interaction else ''}{'biases' if bias else 'weights'}"
        found.append(near(name, mine.pop((interaction, bias), []), stated, relative=1e-12))
    return [*found, near("further groups", len(mine), 0, relative=0)]


def _filled_memory(facts: Mapping[str, Any], channels: int) -> tuple[Memory, dict[tuple[str, int], int]]:
    """Make the memory with what it holds before the first step; no step has a loss yet."""
    rows: dict[tuple[str, int], int] = {}
    for held in facts["prefilled_pool"]:
        rows[held["movie"], held["second"]] = held["rows"]
        if held["rows"] > PERSONS_PER_SECOND:
            raise InputError(
                f"prefilled_pool has {held['rows']} rows at {held['movie']} {held['second']}, of which upstream draws "
                f"{PERSONS_PER_SECOND}"
            )
    for plan in facts["iterations"]:
        for clip, boxes in zip(plan["clips"], plan["proposals_used"], strict=True):
            rows[tuple(clip)] = max(len(boxes), rows.get(tuple(clip), 0))
    numbers = {key: number for number, key in enumerate(rows)}
    memory = Memory(
        [movie for movie, _ in rows],
        [float(second) for _, second in rows],
        np.array(list(rows.values()), np.int64),
        channels=channels,
        weight=BY_LOSS,
    )
    for held in facts["prefilled_pool"]:
        rule = _FEATURES.search(held["features"])
        if rule is None or (int(rule[2]), int(rule[3])) != (held["rows"], channels):
            raise InputError(f"features are {held['features']!r}, expected {held['rows']} rows of {channels} channels")
        keyframe = torch.tensor([numbers[held["movie"], held["second"]]])
        memory.keep(
            keyframe, torch.zeros(held["rows"], dtype=torch.int64), _normal(int(rule[1]), held["rows"], channels)
        )
        memory.after_step(held["loss_tag"])
    memory.now = 0.0
    return memory, numbers


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


@dataclass(frozen=True)
class _Part:
    """The batch of one optimiser step."""

    clips: Tensor
    boxes_xyxy: Tensor
    clip_index: Tensor
    window: BankWindow
    objects: ObjectBoxes
    labels_RK: Tensor


def _part(run: _Run, plan: Mapping[str, Any], facts: Mapping[str, Any]) -> _Part:
    shape = _INPUT.search(facts["input"])
    if shape is None:
        raise InputError(f"input is {facts['input']!r}, expected RandomState(i).standard_normal((...))")
    keys = [f"{movie} {second}" for movie, second in plan["clips"]]
    counts = torch.tensor([len(boxes) for boxes in plan["proposals_used"]])
    clip_index = torch.repeat_interleave(counts)
    objects = [facts["objects"][key] for key in keys]
    if max(map(len, objects)) > OBJECTS or int(counts.max()) > PERSONS_PER_SECOND:
        raise InputError(
            f"a clip has more than {OBJECTS} objects or {PERSONS_PER_SECOND} persons, of which upstream draws"
        )
    boxes_BK4 = torch.zeros(len(keys), OBJECTS, 4)
    for clip, boxes in zip(boxes_BK4, objects, strict=True):
        clip[: len(boxes)] = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    mask_BK = torch.arange(OBJECTS) < torch.tensor([len(boxes) for boxes in objects])[:, None]
    window, nobody = Window(SIDE, SIDE, PERSONS_PER_SECOND), run.memory.rows[:0]
    reads = [
        # The head itself puts the clip's own persons into its second.
        read_as_upstream(run.memory, movie, second, nobody, window, torch.Generator()).rows
        for movie, second in plan["clips"]
    ]
    rows_BLC = torch.stack(reads)
    return _Part(
        clips=_normal(plan["iteration"], *map(int, shape[1].split(","))),
        boxes_xyxy=torch.tensor([box for boxes in plan["proposals_used"] for box in boxes]),
        clip_index=clip_index,
        window=BankWindow(rows_BLC, torch.ones(rows_BLC.shape[:2], dtype=torch.bool), clip_index),
        objects=ObjectBoxes(boxes_BK4, mask_BK),
        labels_RK=multi_hot([row for key in keys for row in facts["ground_truth"][key]["labels_zero_based"]]),
    )


def _step(
    run: _Run, plan: Mapping[str, Any], facts: Mapping[str, Any], arrays: Mapping[str, Array]
) -> list[Difference]:
    """Make one optimiser step, and compare what it computes."""
    number = plan["iteration"]
    name, within = f"it{number}", FIRST if number == 1 else LATER
    found = [near(f"{name}/current_loss", run.memory.now, plan["current_loss_used"], relative=within)]
    part, pooled = _part(run, plan, facts), list[Tensor]()
    logits_RK = run.detector(
        part.clips, part.boxes_xyxy, part.clip_index, part.window, part.objects, keep=pooled.append
    )
    found.append(near(f"{name}/logits", logits_RK.detach(), arrays[f"{name}/logits"], relative=within, absolute=within))
    found += _compare_pooled(pooled[0], part.clip_index, plan, arrays, within)
    labels = published_labels(plan["weights"])
    losses, total = weighted_losses(logits_RK, part.labels_RK, labels, len(part.labels_RK))
    found.append(
        near_values(
            f"{name}/losses", {key: each.item() for key, each in losses.items()}, plan["losses"], relative=within
        )
    )
    found.append(near(f"{name}/total", total.item(), plan["total"], relative=within))
    metrics = accuracies(logits_RK.detach(), part.labels_RK, labels)
    found.append(near_values(f"{name}/metrics", metrics, plan["metrics"], relative=within))
    found += _update(run, total, plan)
    keyframes = torch.tensor([run.numbers[movie, second] for movie, second in plan["clips"]])
    run.memory.keep(keyframes, part.clip_index, pooled[0])
    run.memory.after_step(total.item())
    return found


def _compare_pooled(
    pooled_RC: Tensor, clip_index: Tensor, plan: Mapping[str, Any], arrays: Mapping[str, Array], within: float
) -> list[Difference]:
    name, clips = f"it{plan['iteration']}", range(len(plan["clips"]))
    own = [pooled_RC[clip_index == clip] for clip in clips]
    # Without a person there is no mean, whatever stands in its place.
    stated = [(mean, each) for mean, each in zip(plan["pooled_mean"], own, strict=True) if len(each)]
    means = [float(each.double().mean()) for _, each in stated]
    return [
        near(f"{name}/pooled_mean", means, [mean for mean, _ in stated], relative=within),
        *(
            near(
                f"{name}/pooled{clip}_first32",
                own[clip][:, :32],
                arrays[f"{name}/pooled{clip}_first32"],
                relative=within,
                absolute=within,
            )
            for clip in clips
        ),
    ]


def _update(run: _Run, total: Tensor, plan: Mapping[str, Any]) -> list[Difference]:
    """Compute the gradient and let the optimiser step; compare norms, rates and the first weights."""
    name, names = f"it{plan['iteration']}", list(plan["grad_norms"])
    for parameter in run.names.values():
        parameter.grad = None
    total.backward()  # type: ignore[no-untyped-call]
    gradients = [each.grad for each in run.names.values() if each.grad is not None]
    chosen = [run.names[each] for each in names]
    norms = [float(each.grad.norm()) if each.grad is not None else 0.0 for each in chosen]
    whole = torch.stack([each.double().square().sum() for each in gradients]).sum().sqrt()
    before = [each.detach().clone() for each in chosen]
    rate = published_rate(plan["iteration"] - 1, run.base, decay="step", epochs=110, milestones=[70, 90])
    set_rate(run.optimiser, rate)
    run.optimiser.step()
    moved = {key: float((each.detach() - old).norm()) for key, each, old in zip(names, chosen, before, strict=True)}
    firsts = [run.names[key].detach().flatten()[: len(each)].tolist() for key, each in plan["first4_after"].items()]
    close = {"relative": NORMS, "absolute": NOTHING}
    return [
        near(f"{name}/no_grad", len(run.names) - len(gradients), plan["no_grad"], relative=0),
        near(f"{name}/grad_norm_all", float(whole), plan["grad_norm_all"], relative=NORMS),
        near(f"{name}/grad_norms", norms, [plan["grad_norms"][key] for key in names], **close),
        near(f"{name}/lr_first_group", rate, plan["lr_first_group"], relative=1e-9),
        near(
            f"{name}/update_norms",
            [moved[key] for key in plan["update_norms"]],
            list(plan["update_norms"].values()),
            **close,
        ),
        near(f"{name}/first4_after", firsts, list(plan["first4_after"].values()), relative=FIRST, absolute=NOTHING),
    ]


def _compare_pool(run: _Run, expected: Mapping[str, Mapping[str, float]]) -> Difference:
    """Compare the tags of what the memory holds after the last step."""
    mine = [run.memory.held(movie, int(second)) for movie, held in expected.items() for second in held]
    stated = [tag for held in expected.values() for tag in held.values()]
    return near("pool_loss_tags", [each.tag if each else float("nan") for each in mine], stated, relative=LATER)

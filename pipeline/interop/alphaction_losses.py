"""Check losses, targets, metrics and learning rates against those that AlphAction computed.

Shape suffixes of names: R persons, K classes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.compare_fixture import Difference
from pipeline.models.settings import LabelGroup, Labels
from pipeline.training.losses import group_losses, softmax_targets
from pipeline.training.schedule import Schedule, learning_rate

SIZES = (14, 49, 17)
"AVA's classes in order of id: poses, one of which a person has; actions with objects; actions with persons."
LOSSES = ("loss_pose_action", "loss_object_interaction", "loss_person_interaction")
ACCURACIES = ("accuracy_pose_action", "accuracy_object_interaction", "accuracy_person_interaction")
CLOSE = 1e-5
WARMUP_STEPS, WARMUP_FACTOR, STEPS_BY_EPOCH = 2000, 0.25, 1000
_DRAWN = re.compile(r"([\d.]*)\*?RandomState\((\d+)\)\.standard_normal\(\((\d+), ?(\d+)\)\)")
_RARE = re.compile(r"RandomState\((\d+)\)\.random_sample\(\((\d+), ?(\d+)\)\) ?< ?([\d.]+)")
_RATES = {
    "baseline_steps": {"decay": "step", "epochs": 90, "milestones": [50, 70]},
    "ia_steps": {"decay": "step", "epochs": 110, "milestones": [70, 90]},
    "half_cosine": {"decay": "half_cosine", "epochs": 60, "milestones": []},
}


def published_labels(weights: Mapping[str, float]) -> Labels:
    """Return AVA's labels as AlphAction trains them, with the weights that a fixture gives its losses."""
    kinds = ("softmax", "sigmoid", "sigmoid")
    groups = [
        LabelGroup(classes=size, kind="softmax" if kind == "softmax" else "sigmoid", weight=weights[name])
        for size, kind, name in zip(SIZES, kinds, LOSSES, strict=True)
    ]
    return Labels("grouped", several="first", unlabelled="first", groups=tuple(groups))


def multi_hot(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return labels [R, K] of lists of classes that count from 0."""
    labels_RK = torch.zeros(len(rows), sum(SIZES))
    for row, classes in enumerate(rows):
        labels_RK[row, list(classes)] = 1
    return labels_RK


def accuracies(logits_RK: Tensor, labels_RK: Tensor, labels: Labels) -> dict[str, float]:
    """Compute upstream's metrics: the share of right poses, and the mean IoU of actions with a score above 0.5."""
    found = []
    parts = (torch.split(each, labels.sizes, dim=1) for each in (logits_RK, labels_RK))
    for group, logits, own in zip(labels.groups, *parts, strict=True):
        if group.kind == "softmax":
            right = logits.argmax(dim=1) == softmax_targets(own, labels).argmax(dim=1)
            found.append(float(right.float().mean()))
            continue
        said, true = logits.sigmoid() > 0.5, own > 0
        both, either = (said & true).sum(dim=1), (said | true).sum(dim=1)
        found.append(float(torch.where(either > 0, both / either.clamp_min(1), 1.0).mean()))
    return dict(zip(ACCURACIES, found, strict=True))


def near(name: str, found: Any, expected: Any, *, relative: float, absolute: float = 0.0) -> Difference:
    """Compare numbers, each of which may differ by `absolute` + `relative` times its size."""
    mine = np.atleast_1d(np.asarray(found, np.float64))
    wanted = np.atleast_1d(np.asarray(expected, np.float64))
    if mine.shape != wanted.shape:
        return Difference(name, 0, float("inf"), float("inf"), f"shape {mine.shape}, expected {wanted.shape}")
    if not wanted.size:
        return Difference(name, 0, 0.0, 0.0)
    gaps = np.abs(mine - wanted)
    if not np.isfinite(gaps).all():
        return Difference(name, gaps.size, float("nan"), float("nan"), "not a number")
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(gaps == 0, 0.0, gaps / (absolute + relative * np.abs(wanted)))
    return Difference(name, gaps.size, float(gaps.max()), float(shares.max()))


def near_values(prefix: str, found: Mapping[str, float], expected: Mapping[str, float], **within: float) -> Difference:
    """Compare numbers by name; see `near`.

    Raises:
        InputError: the names differ.
    """
    if found.keys() != expected.keys():
        raise InputError(f"{prefix} has {', '.join(expected)}, expected {', '.join(found)}")
    return near(prefix, [found[name] for name in expected], list(expected.values()), **within)


def weighted_losses(
    logits_RK: Tensor, labels_RK: Tensor, labels: Labels, rows: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the loss of each group, a mean over `rows`, and their weighted sum."""
    losses = [each / rows for each in group_losses(logits_RK, labels_RK, labels, gamma=2.0)]
    total = torch.stack([group.weight * each for group, each in zip(labels.groups, losses, strict=True)]).sum()
    return dict(zip(LOSSES, losses, strict=True)), total


def compare_pose_rule(facts: Mapping[str, Any]) -> list[Difference]:
    """Compare targets, losses, their gradients and metrics for given labels: the block `pose_rule`.

    Raises:
        InputError: it says in words that are not known here how logits are drawn.
    """
    labels, labels_RK = published_labels(facts["weights"]), multi_hot(facts["labels_zero_based"])
    logits_RK = drawn(facts["logits"]).requires_grad_()
    losses, total = weighted_losses(logits_RK, labels_RK, labels, facts["average_box_number"])
    (gradient_RK,) = torch.autograd.grad(total, logits_RK)
    targets = softmax_targets(labels_RK[:, : SIZES[0]], labels).argmax(dim=1)
    logits_RK = logits_RK.detach()
    return [
        near("pose_rule/pose_target", targets, facts["pose_target"], relative=0),
        near_values("pose_rule/losses", _numbers(losses), facts["losses"], relative=CLOSE),
        near("pose_rule/total", total.item(), facts["total"], relative=CLOSE),
        near("pose_rule/grad_norm_per_row", gradient_RK.norm(dim=1), facts["grad_norm_per_row"], relative=CLOSE),
        near(
            "pose_rule/grad_row0_first14",
            gradient_RK[0, :14],
            facts["grad_row0_first14"],
            relative=CLOSE,
            absolute=1e-8,
        ),
        near_values("pose_rule/metrics", accuracies(logits_RK, labels_RK, labels), facts["metrics"], relative=CLOSE),
    ]


def compare_losses(facts: Mapping[str, Any]) -> list[Difference]:
    """Compare losses: the block `losses` of the fixture of operations.

    Raises:
        InputError: it says in words that are not known here how logits or labels are drawn, or has another split, gamma
            or alpha.
    """
    if (tuple(facts["split"]), facts["gamma"], facts["alpha"]) != (SIZES, 2.0, -1.0):
        raise InputError(f"losses are of split {facts['split']}, gamma {facts['gamma']} and alpha {facts['alpha']}")
    rule = _RARE.search(facts["labels"])
    if rule is None:
        raise InputError(f"losses.labels {facts['labels']!r} is not known here")
    sample = np.random.RandomState(int(rule[1])).random_sample((int(rule[2]), int(rule[3])))
    labels_RK = torch.from_numpy((sample < float(rule[4])).astype(np.float32))
    labels_RK[:, : SIZES[0]] = 0
    labels_RK[range(len(labels_RK)), facts["pose_index"]] = 1
    losses, total = weighted_losses(
        drawn(facts["logits"]), labels_RK, published_labels(facts["weights"]), facts["box_normaliser"]
    )
    return [
        near_values("losses/components", _numbers(losses), facts["components"], relative=CLOSE),
        near("losses/total", total.item(), facts["total"], relative=CLOSE),
    ]


def compare_rates(facts: Mapping[str, Any]) -> list[Difference]:
    """Compare learning rates by iteration: the block `lr` of the fixture of operations.

    Raises:
        InputError: it has a schedule that is not known here.
    """
    found = []
    for name, expected in facts.items():
        if name == "base_lr":
            continue
        if name not in _RATES:
            raise InputError(f"lr has the schedule {name}, expected one of {', '.join(_RATES)}")
        rates = [published_rate(int(step), facts["base_lr"], **_RATES[name]) for step in expected]
        found.append(near(f"lr/{name}", rates, list(expected.values()), relative=1e-9))
    return found


def published_rate(step: int, base: float, **changes: Any) -> float:
    """Return the rate of an optimiser step, from 0; the epochs of `changes` are of 1000 steps."""
    schedule = Schedule(
        epoch_steps=STEPS_BY_EPOCH,
        warmup_epochs=WARMUP_STEPS / STEPS_BY_EPOCH,
        warmup_factor=WARMUP_FACTOR,
        warmup_by="iteration_after",
        gamma=0.1,
        **changes,
    )
    epoch, iteration = divmod(step, STEPS_BY_EPOCH)
    return learning_rate(schedule, base, epoch=epoch, iteration=iteration, iterations_per_epoch=STEPS_BY_EPOCH)


def drawn(rule: str) -> Tensor:
    """Draw float32 numbers by a rule in words, such as `2*RandomState(5).standard_normal((6,80)) float32`.

    Raises:
        InputError: the rule is not known.
    """
    found = _DRAWN.search(rule)
    if found is None:
        raise InputError(f"numbers are drawn by {rule!r}, expected RandomState(N).standard_normal((rows,columns))")
    factor, seed, rows, columns = found.groups()
    values = np.random.RandomState(int(seed)).standard_normal((int(rows), int(columns)))
    return torch.from_numpy((float(factor or 1) * values).astype(np.float32))


def _numbers(losses: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: each.item() for name, each in losses.items()}

"""Check ACAR-Net's loss, learning rates and boxes of training against those that it computed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import CLOSE, drawn, near
from pipeline.interop.compare_fixture import Difference
from pipeline.models.scores import action_scores
from pipeline.models.settings import LabelGroup, Labels
from pipeline.training.clip_steps import moved_evenly
from pipeline.training.losses import group_losses
from pipeline.training.schedule import Schedule, learning_rate

POSES, CLASSES = 13, 60
LABELS = Labels(
    "grouped",
    several="soft",
    groups=(
        LabelGroup(classes=POSES, kind="softmax", weight=POSES / CLASSES, loss="binary"),
        LabelGroup(classes=CLASSES - POSES, kind="sigmoid", weight=(CLASSES - POSES) / CLASSES),
    ),
)
"""Poses by a softmax, all else by sigmoids. A group's loss is a mean over its classes; with its share of the classes as
weight, the sum is the mean over all of them."""
SIGMOIDS = Labels("grouped", groups=(LabelGroup(classes=CLASSES, kind="sigmoid"),))
FIRST_RATE, RATE = 0.008, 0.064
_RATES = {"r50": (6, [5.6, 5.8]), "r101": (5, [4.6, 4.8])}
"Epochs, and those after which the rate falls."


def compare_loss(name: str, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare a loss, its gradient and scores; every row counts, also one without a label.

    Raises:
        InputError: it says in words that are not known here how logits are drawn, or they have another number of
            columns.
    """
    logits_RK = drawn(facts["logits"]).requires_grad_()
    if logits_RK.shape[1] != CLASSES:
        raise InputError(f"{name}: logits have {logits_RK.shape[1]} columns, expected {CLASSES}")
    labels = LABELS if facts.get("pose_softmax", True) else SIGMOIDS
    labels_RK = torch.zeros_like(logits_RK)
    for row, classes in enumerate(facts["targets"]):
        labels_RK[row, list(classes)] = 1
    losses = group_losses(logits_RK, labels_RK, labels, gamma=0.0)
    loss = torch.stack([group.weight * each for group, each in zip(labels.groups, losses, strict=True)]).sum()
    loss = loss / len(logits_RK)
    (gradient_RK,) = torch.autograd.grad(loss, logits_RK)
    found = [near(f"{name}/loss", loss.item(), facts["loss"], relative=CLOSE)]
    if "grad_norm_rows" in facts:
        norms = gradient_RK.norm(dim=1)
        found.append(near(f"{name}/grad_norm_rows", norms, facts["grad_norm_rows"], relative=CLOSE))
    if "scores_row0_first4" in facts:
        scores = action_scores(logits_RK.detach(), labels)[0, :4]
        found.append(near(f"{name}/scores_row0_first4", scores, facts["scores_row0_first4"], relative=CLOSE))
    return found


def compare_rates(name: str, facts: Mapping[str, Any], steps_per_epoch: int) -> list[Difference]:
    """Compare learning rates by iteration, from 0.

    Raises:
        InputError: it has a training that is not known here.
    """
    found = []
    for training, expected in facts.items():
        if training not in _RATES:
            raise InputError(f"{name} has the training {training}, expected one of {', '.join(_RATES)}")
        rates = [published_rate(training, int(step), steps_per_epoch) for step in expected]
        found.append(near(f"{name}/{training}", rates, list(expected.values()), relative=1e-9))
    return found


def published_rate(training: str, step: int, steps_per_epoch: int) -> float:
    """Return the rate of an optimiser step, from 0, of ACAR-Net's `r50` or `r101`."""
    epochs, milestones = _RATES[training]
    schedule = Schedule(
        epochs=epochs,
        epoch_steps=steps_per_epoch,
        warmup_epochs=1,
        warmup_factor=FIRST_RATE / RATE,
        warmup_by="iteration_after",
        decay="step",
        milestones=milestones,
        gamma=0.1,
    )
    epoch, iteration = divmod(step, steps_per_epoch)
    return learning_rate(schedule, RATE, epoch=epoch, iteration=iteration, iterations_per_epoch=steps_per_epoch)


def compare_neck(name: str, facts: Mapping[str, Any]) -> list[Difference]:
    """Compare boxes of training and testing: moved, flipped, and as shares of their padded picture.

    Boxes are moved before the flip, in shares of their picture. Targets, of which the fixture states the result alone,
    are not compared.
    """
    boxes_n4 = np.array(facts["boxes"], np.float64).reshape(-1, 4)
    draw_n4 = np.random.RandomState(facts["numpy_seed"]).random_sample(boxes_n4.shape)
    moved_n4 = moved_evenly(boxes_n4, (facts["scale"], facts["scale"]), 1, 1, draw_n4)
    flip_n1, pad_n2 = np.array(facts["flip"], bool)[:, None], np.array(facts["pad_ratio"], np.float64)
    rois = {"train_rois": moved_n4, "eval_rois": boxes_n4}
    found = []
    for kind, each in rois.items():
        flipped = np.where(flip_n1, np.stack([1 - each[:, 2], each[:, 1], 1 - each[:, 0], each[:, 3]], 1), each)
        numbered = np.column_stack([np.arange(len(each)), flipped / np.tile(pad_n2, 2)])
        found.append(near(f"{name}/{kind}", numbered, facts[kind], relative=1e-6, absolute=1e-7))
    if "sizes_before_padding" in facts:
        sizes = 1 / pad_n2
        found.append(near(f"{name}/sizes_before_padding", sizes, facts["sizes_before_padding"], relative=1e-6))
    return found

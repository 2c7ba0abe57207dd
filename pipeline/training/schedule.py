"""The learning rate as a function of epoch and iteration alone, without state to save or restore."""

import math
from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction, Positive


class Schedule(Block):
    """Learning rate over the epochs."""

    epochs: Annotated[int, Field(ge=0)]
    "0 keeps the baseline's initial weights; a head needs 1 or more."
    warmup_epochs: Annotated[int, Field(ge=0)]
    "Length of the warm-up; 0 for none."
    warmup_factor: Fraction
    "The first learning rate, as a share of lr."
    warmup_by: Literal["epoch", "iteration"]
    "Whether the warm-up changes the rate each epoch or each iteration."
    decay: Literal["step", "cosine"]
    "step: multiply by gamma at the start of each epoch in milestones; cosine: fall from the end of the warm-up."
    milestones: list[Positive]
    "Epochs at which `step` multiplies the rate by gamma."
    gamma: Fraction


def learning_rate(schedule: Schedule, lr: float, *, epoch: int, iteration: int, iterations_per_epoch: int) -> float:
    """Return the rate of an iteration (MMEngine `LinearLR` with `MultiStepLR` or `CosineAnnealingLR`).

    The warm-up rises linearly from `warmup_factor * lr` in its first step to `lr` in its last. If the warm-up has only
    one step, MMEngine keeps the first rate for ever; here `lr` follows it. The cosine falls in every iteration and
    reaches 0 at the end of training.

    Args:
        schedule: see `Schedule`.
        lr: the full rate.
        epoch: from 0.
        iteration: within the epoch, from 0.
        iterations_per_epoch: optimiser steps of an epoch.
    """
    done = epoch * iterations_per_epoch + iteration
    start = schedule.warmup_epochs * iterations_per_epoch
    step, steps = (epoch, schedule.warmup_epochs) if schedule.warmup_by == "epoch" else (done, start)
    if step < steps:
        lr *= schedule.warmup_factor + (1 - schedule.warmup_factor) * (step / max(steps - 1, 1))
    if schedule.decay == "step":
        return lr * schedule.gamma ** sum(epoch >= milestone for milestone in schedule.milestones)
    if done < start:
        return lr
    return lr * (1 + math.cos(math.pi * (done - start) / (schedule.epochs * iterations_per_epoch - start))) / 2

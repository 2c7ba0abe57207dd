"""The learning rate as a function of epoch and iteration alone, without state to save or restore."""

import math
from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.block import Block, Fraction, Positive


class Schedule(Block):
    """Learning rate over the epochs."""

    epochs: Annotated[int, Field(ge=0)]
    "0 keeps the baseline's initial weights; a head needs 1 or more."
    epoch_steps: Annotated[Positive | Literal["pass"], Field(exclude_if=lambda steps: steps == "pass")]
    "pass: an epoch is a pass over the keyframes; a number: so many optimiser steps."
    warmup_epochs: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0)]
    "Length of the warm-up, which may be a fraction; 0 for none."
    warmup_factor: Fraction
    "The first learning rate, as a share of lr."
    warmup_by: Literal["epoch", "iteration", "iteration_after"]
    "Whether the warm-up ends in its last epoch, its last iteration, or the iteration after it (AlphAction)."
    decay: Literal["step", "cosine", "half_cosine"]
    "step: multiply by gamma at each epoch in milestones; cosine: fall from the warm-up's end; half_cosine: all along."
    milestones: list[Positive | Annotated[float, Field(gt=0)]]
    "Epochs at which `step` multiplies the rate by gamma; of a fraction the step counts that is reached by then."
    gamma: Fraction


def learning_rate(schedule: Schedule, lr: float, *, epoch: int, iteration: int, iterations_per_epoch: int) -> float:
    """Return the rate of an iteration (MMEngine `LinearLR` with `MultiStepLR` or `CosineAnnealingLR`; AlphAction's).

    The warm-up rises linearly from `warmup_factor * lr` in its first step to `lr` in its last. If the warm-up has only
    one step, MMEngine keeps the first rate for ever; here `lr` follows it. AlphAction's warm-up (`iteration_after`) is
    at `lr` one step later. The cosine falls in every iteration and reaches 0 at the end of training; AlphAction's
    (`half_cosine`) begins with the training, but does not lower the rates of the warm-up.

    Args:
        schedule: see `Schedule`.
        lr: the full rate.
        epoch: from 0.
        iteration: within the epoch, from 0.
        iterations_per_epoch: optimiser steps of an epoch.
    """
    done = epoch * iterations_per_epoch + iteration
    start = round(schedule.warmup_epochs * iterations_per_epoch)
    step, steps = (epoch, schedule.warmup_epochs) if schedule.warmup_by == "epoch" else (done, start)
    if step < steps:
        rises = steps if schedule.warmup_by == "iteration_after" else steps - 1
        lr *= schedule.warmup_factor + (1 - schedule.warmup_factor) * (step / max(rises, 1))
    if schedule.decay == "step":
        # A whole number of steps, cut as ACAR-Net cuts it; a whole milestone is its epoch's first step.
        steps_of = (int(milestone * iterations_per_epoch) for milestone in schedule.milestones)
        return lr * schedule.gamma ** sum(done >= milestone for milestone in steps_of)
    if done < start:
        return lr
    begin = start if schedule.decay == "cosine" else 0
    return lr * (1 + math.cos(math.pi * (done - begin) / (schedule.epochs * iterations_per_epoch - begin))) / 2

"""The learning rate as a function of where training stands: nothing to save, nothing to restore."""

import math
from collections.abc import Sequence
from typing import Literal


def learning_rate(
    epoch: int,
    iteration: int,
    iterations_per_epoch: int,
    *,
    lr: float,
    epochs: int,
    warmup_epochs: int,
    warmup_factor: float,
    warmup_by: Literal["epoch", "iteration"],
    decay: Literal["step", "cosine"],
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
) -> float:
    """The rate in force during an iteration (MMEngine `LinearLR` with `MultiStepLR` or `CosineAnnealingLR`).

    The warm-up rises linearly from `warmup_factor * lr` in its first step to `lr` in its last, where a step
    is an epoch or an iteration. A warm-up of one step keeps MMEngine at the first rate for good; here `lr`
    follows it.

    Args:
        epoch: from 0.
        iteration: within the epoch, from 0.
        iterations_per_epoch: optimiser steps of an epoch.
        lr: the full rate.
        epochs: length of training; where the cosine reaches 0.
        warmup_epochs: length of the warm-up; 0 for none.
        warmup_factor: the first rate, as a share of `lr`.
        warmup_by: what a step of the warm-up is.
        decay: `step` multiplies by `gamma` at the start of each epoch in `milestones`; `cosine` falls from
            the end of the warm-up on, in every iteration.
        milestones: epochs, for `step`.
        gamma: for `step`.
    """
    done = epoch * iterations_per_epoch + iteration
    start = warmup_epochs * iterations_per_epoch
    step, steps = (epoch, warmup_epochs) if warmup_by == "epoch" else (done, start)
    if step < steps:
        lr *= warmup_factor + (1 - warmup_factor) * (step / max(steps - 1, 1))
    if decay == "step":
        return lr * gamma ** sum(epoch >= milestone for milestone in milestones)
    if done < start:
        return lr
    return lr * (1 + math.cos(math.pi * (done - start) / (epochs * iterations_per_epoch - start))) / 2


def scaled_lr(lr: float, *, global_batch: int, base_batch: int) -> float:
    """The learning rate for another batch than the one it was published with, in proportion; prints both.

    Args:
        lr: for `base_batch`.
        global_batch: keyframes of an optimiser step here, over all ranks and parts.
        base_batch: those of the published one.
    """
    scaled = lr * global_batch / base_batch
    print(f"lr {lr:g} for a batch of {base_batch} -> {scaled:g} for {global_batch}")
    return scaled

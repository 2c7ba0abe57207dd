"""Optimiser steps and their parts: the interface between `fit` and what is trained on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.ranks import share, world_size
from pipeline.training.history import Metrics
from pipeline.training.state import ExtraState


class BatchPart(Protocol):
    """The batch of one forward pass."""

    def to(self, device: torch.device) -> Self:
        """Copy the batch to a device."""


P = TypeVar("P", bound=BatchPart)


@dataclass(frozen=True)
class Step(Generic[P]):
    """One optimiser step: `global_batch` keyframes in parts of `bn_batch`, each the batch of one forward pass."""

    parts: Iterable[P]
    "The parts of this rank, which can be read once: parts number rank, rank + ranks, ... of the step."
    count: int
    "Number of parts of the step on all ranks together."


def deal_parts(
    order: NDArray[np.int64], *, global_batch: int, bn_batch: int
) -> Iterator[tuple[Sequence[NDArray[np.int64]], int]]:
    """Yield, for every optimiser step, this rank's parts and the number of parts on all ranks.

    The last step takes the remaining keyframes: it has fewer parts, and its last part may be short. Every part has the
    same weight, and a rank without a part contributes nothing. So every keyframe is used once, for any number of ranks.

    Args:
        order: indices of the keyframes of an epoch, in training order.
        global_batch: keyframes of a step.
        bn_batch: keyframes of a part.
    """
    for first in range(0, len(order), global_batch):
        step = order[first : first + global_batch]
        parts = [step[at : at + bn_batch] for at in range(0, len(step), bn_batch)]
        yield share(parts), len(parts)


def check_ranks(*, global_batch: int, bn_batch: int, block: str) -> None:
    """Check that the ranks can share the parts of a step evenly.

    Args:
        global_batch: keyframes of a step.
        bn_batch: keyframes of a part.
        block: of the parameters, for the message.

    Raises:
        InputError: they cannot.
    """
    parts = -(-global_batch // bn_batch)
    if parts % world_size():
        raise InputError(
            f"{block}.global_batch {global_batch} in parts of {block}.bn_batch {bn_batch}: {parts} to a step, which "
            f"{world_size()} processes cannot share evenly; expected a number of processes that divides {parts}"
        )


@dataclass(frozen=True)
class Task(Generic[P]):
    """What a model is trained on, and how it is validated."""

    what: str
    "The training's name, as in its progress bar."
    steps_of: Callable[[int], Iterable[Step[P]]]
    "Returns the optimiser steps of an epoch (from 0), the same number on every rank."
    steps_per_epoch: int
    "Number of steps that `steps_of` returns."
    loss_of: Callable[[P], Tensor]
    "Computes the loss of one part: a scalar with gradient."
    validate: Callable[[], Metrics]
    "Scores the model, in evaluation mode; returns a number or None under `map`, the same on every rank."
    extra: ExtraState | None = None
    "Further state to save and restore with each epoch."
    after_step: Callable[[float], None] | None = None
    "Called after each optimiser step, with the mean loss of its parts on all ranks."

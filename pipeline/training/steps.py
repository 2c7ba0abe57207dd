"""Optimiser steps and their parts: the interface between `fit` and what is trained on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, Self, TypeVar

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
    order: NDArray[np.int64], *, global_batch: int, bn_batch: int, sizes: NDArray[np.int64] | None = None
) -> Iterator[tuple[Sequence[NDArray[np.int64]], int]]:
    """Yield, for every optimiser step, this rank's parts and the number of parts on all ranks.

    The last step takes the remaining keyframes: it has fewer parts, and its last part may be short. Every part has the
    same weight, and a rank without a part contributes nothing. So every keyframe is used once, for any number of ranks.

    With `sizes`, a part has keyframes of one size: each goes, in training order, into the open part of its size, and a
    part follows the others as it becomes full. Those left open, at most one of each size, are the last and short. With
    one size this is the same as without.

    Args:
        order: indices of the keyframes of a pass, in training order.
        global_batch: keyframes of a step.
        bn_batch: keyframes of a part.
        sizes: a number for the size of the clips of every keyframe, by index.
    """
    if sizes is None:
        parts = [order[at : at + bn_batch] for at in range(0, len(order), bn_batch)]
    else:
        parts = _parts_of_one_size(order, sizes, bn_batch)
    several = global_batch // bn_batch
    for first in range(0, len(parts), several):
        step = parts[first : first + several]
        yield share(step), len(step)


def _parts_of_one_size(order: NDArray[np.int64], sizes: NDArray[np.int64], bn_batch: int) -> list[NDArray[np.int64]]:
    full, waiting = [], dict[int, list[int]]()
    for index, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        part = waiting.setdefault(size, [])
        part.append(index)
        if len(part) == bn_batch:
            full.append(np.array(waiting.pop(size)))
    return [*full, *(np.array(part) for part in waiting.values())]


def count_steps(keyframes: int, *, global_batch: int, bn_batch: int, sizes: NDArray[np.int64] | None = None) -> int:
    """Count the optimiser steps of a pass over the keyframes, which `deal_parts` yields; arguments as there."""
    counts = [keyframes] if sizes is None else np.unique(sizes, return_counts=True)[1].tolist()
    return -(-sum(-(-count // bn_batch) for count in counts) // (global_batch // bn_batch))


@dataclass(frozen=True)
class Stretch:
    """Consecutive optimiser steps of one pass over the keyframes."""

    number: int
    "Of the pass, from 0."
    first: int
    last: int
    "One more than the number of the last step."


def stretches_of(epoch: int, *, per_pass: int, per_epoch: int) -> Iterator[Stretch]:
    """Yield what an epoch takes of the passes over the keyframes, which follow each other without end.

    Args:
        epoch: from 0.
        per_pass: optimiser steps of a pass.
        per_epoch: optimiser steps of an epoch.
    """
    at, end = epoch * per_epoch, (epoch + 1) * per_epoch
    while at < end:
        number, first = divmod(at, per_pass)
        last = min(per_pass, first + end - at)
        yield Stretch(number, first, last)
        at += last - first


def epochs_of_passes(
    steps_of: Callable[[Stretch], Iterable[Step[P]]], *, per_pass: int, per_epoch: int | Literal["pass"]
) -> tuple[Callable[[int], Iterable[Step[P]]], int]:
    """Return `Task.steps_of` and `Task.steps_per_epoch`, whose epochs are made of passes as `stretches_of` says.

    Args:
        steps_of: returns the steps of a stretch of a pass.
        per_pass: optimiser steps of a pass; 0 if there is no keyframe, and then an epoch has no step.
        per_epoch: optimiser steps of an epoch; pass: an epoch is a pass.
    """
    if not per_pass or per_epoch == "pass":
        return lambda epoch: steps_of(Stretch(epoch, 0, per_pass)), per_pass

    def of_epoch(epoch: int) -> Iterator[Step[P]]:
        for stretch in stretches_of(epoch, per_pass=per_pass, per_epoch=per_epoch):
            yield from steps_of(stretch)

    return of_epoch, per_epoch


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
    "Scores the model, in evaluation mode; returns a number or None under `Fitting.headline`, the same on every rank."
    extra: ExtraState | None = None
    "Further state to save and restore with each epoch."
    count_of: Callable[[P], int] | None = None
    "Counts the rows of a part; the sum of a step's losses is divided by all its rows. None: by its number of parts."
    after_step: Callable[[float], None] | None = None
    "Called after each optimiser step, with the mean loss of its parts on all ranks."
    samples: str = "annotated keyframe with a box"
    "What a step is made of, for the message that there is none."

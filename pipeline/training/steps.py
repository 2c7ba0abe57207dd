"""An optimiser step and its parts: all that `fit` knows of what is trained on."""

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
        """The same on a device."""


P = TypeVar("P", bound=BatchPart)


@dataclass(frozen=True)
class Step(Generic[P]):
    """One optimiser step: `global_batch` keyframes in parts of `bn_batch`, each the batch of one forward pass."""

    parts: Iterable[P]
    "Those of this rank, to be read once: number rank, rank + ranks, ... of the step's parts."
    count: int
    "How many parts the step has, those of all ranks together."


def deal_parts(
    order: NDArray[np.int64], *, global_batch: int, bn_batch: int
) -> Iterator[tuple[Sequence[NDArray[np.int64]], int]]:
    """This rank's parts of every optimiser step, and how many parts the step has on all ranks.

    The last step takes what is left: fewer parts, the last of which may be short. Each part counts alike, and a rank
    for which there is none takes part with nothing. So every keyframe is seen once, whatever the number of ranks.

    Args:
        order: indices of the keyframes of an epoch, in the order in which they are seen.
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
    """What a model is trained on, and how it is scored."""

    what: str
    "The training's name, as in its progress bar."
    steps_of: Callable[[int], Iterable[Step[P]]]
    "For an epoch, from 0: the optimiser steps, as many on every rank."
    steps_per_epoch: int
    "How many steps `steps_of` gives."
    loss_of: Callable[[P], Tensor]
    "The loss of one part: a scalar with gradient."
    validate: Callable[[], Metrics]
    "Scores the model, in evaluation mode; gives a number or None under `map`, the same on every rank."
    extra: ExtraState | None = None
    "What else is saved and restored with each epoch."

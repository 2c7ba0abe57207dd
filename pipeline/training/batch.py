"""What one forward pass and one optimiser step of training take."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.ranks import share, world_size
from pipeline.models.context import BankWindow


@dataclass(frozen=True)
class Batch:
    """B keyframes with their R labelled boxes.

    Either `clips` and `boxes` are given (the detector runs) or `rows` (stored features, the head alone runs).
    """

    labels: Tensor  # [R, classes] float32, multi-hot
    clip_index: Tensor  # [R] int64: the keyframe of each box
    clips: Tensor | None = None  # [B, 3, T, H, W] float32, normalised
    boxes_xyxy: Tensor | None = None  # [R, 4] float32, pixels of the clip
    rows: Tensor | None = None  # [R, C] float32
    window: BankWindow | None = None  # overwritten when the next batch is made

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(
            self,
            **{name: value.to(device, non_blocking=True) for name, value in values.items() if value is not None},
        )


@dataclass(frozen=True)
class Step:
    """One optimiser step: `global_batch` keyframes in parts of `bn_batch`, each the batch of one forward pass."""

    parts: Iterable[Batch]
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

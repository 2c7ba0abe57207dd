"""What a head may read besides the persons' features.

Shape suffixes of names: R persons (RoIs), B clips (keyframes), K objects of a clip, W windows, L slots of a window, C
channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Projections:
    """Rows of the bank as a head has projected them."""

    numbers: NDArray[np.int64]
    "[n], ascending: the numbers of the rows."
    rows: Tensor
    "[1 + n, d]: a row of zeros, then those of `numbers`."
    asked: NDArray[np.int64]
    "The numbers that were asked for last."


@dataclass(frozen=True)
class KeptRows:
    """What `pipeline/models/row_projections.py` keeps from one batch of windows to the next; no weight may change."""

    of: dict[nn.Linear, Projections] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """Rows that stand in some slots of every window in place of what the bank holds there."""

    slots: slice
    rows: Tensor
    "[W, slots, C_bank], standardised where the window is."


@dataclass(frozen=True)
class Dropped:
    """Dropout of values of rows, drawn for the rows that are held: a bit for each value, which reading applies."""

    kept: Tensor
    "[n, C_bank], bool, for the n rows of all windows."
    place: Tensor
    "[W, L]: the row of `kept` for each slot; of empty slots any."
    share: float
    "Of the values that stay; they are divided by it."


def drop_values(window: "BankWindow", share: float) -> "BankWindow":
    """Return the window with dropout of a share of its values, from torch's global generator of the device.

    Four values share a drawn number of 64 bits, so that the share is met within 2^-16.
    """
    place_WL = (window.mask.flatten().cumsum(0) - 1).clamp_min(0).view(window.mask.shape)
    rows, channels = max(1, int(window.mask.sum())), window.stored.shape[-1]
    drawn = torch.empty(-(-rows * channels // 4), dtype=torch.int64, device=window.mask.device).random_(-(2**63), None)
    kept = drawn.view(torch.int16)[: rows * channels] >= round(share * 2**16) - 2**15
    return replace(window, dropped=Dropped(kept.view(rows, channels), place_WL, 1 - share))


@dataclass(frozen=True)
class BankWindow:
    """Rows of the bank around the keyframes of a batch, and the window of each person; each window is held once.

    The rows may be a copy, or the bank's own table with the numbers of its rows; `rows` gives the same for both, and
    `pipeline/models/window_blocks.py` reads both without a copy of all windows.

    Raises:
        ValueError: the mask does not fit the rows.
    """

    stored: Tensor
    "[W, L, C_bank], in order of time, empty slots hold zeros; with `slots` a table [N, C_bank], whose row 0 is zeros."
    mask: Tensor
    "[W, L], bool: True where a slot holds a row."
    owner: Tensor
    "[R], integer: the window of each person; equal to its clip where all persons of a clip share a window."
    slots: Tensor | None = None
    "[W, L], integer: the row of the table in each slot, 0 where it is empty; None where `stored` are the windows."
    mean: Tensor | None = None
    "[C_bank]: rows are read as (row - mean) / std, and empty slots as zeros; None leaves rows as they are."
    std: Tensor | None = None
    "[C_bank], with `mean`."
    dropped: Dropped | None = None
    "Of the bank's rows, not of placed ones."
    placed: Placed | None = None
    copied: Tensor | None = None
    "[W, L], integer: where `stored` are the windows, the numbers that `slots` would hold; None: nobody knows them."
    kept: KeptRows | None = None
    "Given by who scores many windows with one head on a CPU: each row is then projected once."

    def __post_init__(self) -> None:
        shape = self.stored.shape if self.slots is None else self.slots.shape
        if self.mask.shape != shape[:2]:
            raise ValueError(f"a window of {tuple(shape)} has a mask of {tuple(self.mask.shape)}")

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "BankWindow":
        """Copy the windows, before rows are dropped out or placed, to a device; `non_blocking` as in `Tensor.to`."""
        names = ("stored", "mask", "owner", "slots", "mean", "std")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: each.to(device, non_blocking=non_blocking) for name, each in given.items()})

    @property
    def numbers(self) -> Tensor | None:
        """The number of the row in each slot, [W, L], 0 where it is empty; None where nobody knows them."""
        return self.copied if self.slots is None else self.slots

    @property
    def rows(self) -> Tensor:
        """All windows as they are read, [W, L, C_bank]: in the type of the bank, or float32 where they have a mean."""
        return self.whole(self.stored.dtype if self.mean is None else torch.float32)

    def whole(self, dtype: torch.dtype) -> Tensor:
        """Return all windows as they are read, [W, L, C_bank], in a type."""
        rows = self.stored
        if self.slots is not None:
            rows = torch.unflatten(rows.index_select(0, self.slots.flatten()), 0, self.slots.shape)
        rows = rows.to(dtype)
        if self.mean is not None and self.std is not None:
            rows = (rows - self.mean.to(dtype)).div_(self.std.to(dtype)).masked_fill_(~self.mask[:, :, None], 0)
        if self.dropped is not None:
            rows = rows * self.dropped.kept[self.dropped.place] / self.dropped.share
        if self.placed is not None:
            before, after = rows[:, : self.placed.slots.start], rows[:, self.placed.slots.stop :]
            rows = torch.cat([before, self.placed.rows.to(dtype), after], dim=1)
        return rows

    def divisor(self, dtype: torch.dtype) -> Tensor | float | None:
        """Return what rows are divided by, once their mean and what is dropped are off; None: they stay as they are."""
        share = 1.0 if self.dropped is None else self.dropped.share
        if self.std is not None:
            return self.std.to(dtype) * share
        return None if self.dropped is None else share

    def part(self, slots: slice) -> "BankWindow":
        """Return windows of some of the slots; nothing may be placed in them."""
        stored = self.stored if self.slots is not None else self.stored[:, slots]
        dropped = None if self.dropped is None else replace(self.dropped, place=self.dropped.place[:, slots])
        slots_WL, copied_WL = (None if of is None else of[:, slots] for of in (self.slots, self.copied))
        return replace(self, stored=stored, mask=self.mask[:, slots], slots=slots_WL, dropped=dropped, copied=copied_WL)


@dataclass(frozen=True)
class ObjectBoxes:
    """Boxes of the objects of a batch of clips.

    Raises:
        ValueError: the mask does not fit the boxes.
    """

    boxes_xyxy: Tensor
    "[B, K, 4] in pixels of the clip, by score, the best first; empty places hold zeros."
    mask: Tensor
    "[B, K], bool: True where a place holds an object."

    def __post_init__(self) -> None:
        if self.boxes_xyxy.shape != (*self.mask.shape, 4):
            raise ValueError(f"objects of {tuple(self.boxes_xyxy.shape)} have a mask of {tuple(self.mask.shape)}")

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "ObjectBoxes":
        """Copy the boxes to another device; `non_blocking` as in `Tensor.to`."""
        return ObjectBoxes(*(each.to(device, non_blocking=non_blocking) for each in (self.boxes_xyxy, self.mask)))


@dataclass(frozen=True)
class ObjectRows:
    """Features of the objects of a batch of clips; those of a clip are held once for all its persons.

    Raises:
        ValueError: the mask does not fit the rows.
    """

    rows: Tensor
    "[B, K, C_roi], by score, the best first; empty places hold zeros."
    mask: Tensor
    "[B, K], bool: True where a place holds an object."

    def __post_init__(self) -> None:
        if self.mask.shape != self.rows.shape[:2]:
            raise ValueError(f"objects of {tuple(self.rows.shape)} have a mask of {tuple(self.mask.shape)}")

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "ObjectRows":
        """Copy the rows to another device; `non_blocking` as in `Tensor.to`."""
        return ObjectRows(*(each.to(device, non_blocking=non_blocking) for each in (self.rows, self.mask)))


@dataclass(frozen=True)
class Context:
    """What a head may ask for besides the RoI features of the persons.

    Raises:
        ValueError: the window has another number of persons.
    """

    clip_index: Tensor
    "[R], integer: the clip of each person."
    window: BankWindow | None = None
    "For a head that reads the bank."
    feature_map: Tensor | None = None
    "[B, C_map, h, w]: the backbone's map of each clip, pooled over time (`pool_time`)."
    objects: ObjectRows | None = None
    "For a head that reads objects; without any object its mask is False everywhere."
    own_rows: Tensor | None = None
    "[R, C_bank]: the persons as rows of their own windows, where these are standardised and the persons are not alike."

    def __post_init__(self) -> None:
        if self.window is not None and self.window.owner.shape != self.clip_index.shape:
            owner, clips = tuple(self.window.owner.shape), tuple(self.clip_index.shape)
            raise ValueError(f"a window with owner of {owner} stands beside clip_index of {clips}")


# The next call overwrites the returned windows: a batch is used up before the next one is made.
WindowOf = Callable[[Sequence[str], NDArray[np.float64], Tensor], BankWindow]
"""A function (video ids, timestamps, clip_index) -> windows of B keyframes with R persons, in the order of the
keyframes; the number of windows W is B or R."""

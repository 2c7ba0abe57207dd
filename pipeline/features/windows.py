"""The windows of a head: which rows of the bank it reads for which keyframes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bank.films_ahead import fetch_index
from pipeline.bank.reader import Bank
from pipeline.bank.windows.resident import ResidentWindows, resident_file
from pipeline.bank.windows.slots import Windows
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.models.context import BankWindow, WindowOf
from pipeline.models.settings import WindowSettings
from pipeline.tables.window_span import own_second


@dataclass(frozen=True)
class WindowSource:
    """The windows of a head that reads the bank."""

    windows: Windows
    window: WindowSettings
    banks: Sequence[Bank] = ()
    "The banks whose rows the windows read."

    def _slots(self, video_ids: Sequence[str], timestamps: NDArray[np.float64], **how: Any) -> Tensor:
        return self.windows.slots(
            video_ids,
            timestamps,
            seconds=self.window.seconds,
            per_second=self.window.per_second,
            span=self.window.span,
            exclude_keyframe=self.window.exclude_keyframe,
            **how,
        )

    def has_rows(self, video_ids: Sequence[str], timestamps: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether each keyframe's window holds a row, [B]."""
        own = own_second(self.window.seconds, self.window.span)
        filled = self.windows.has_rows(video_ids, np.floor(timestamps).astype(np.int64) - own, self.window.seconds)
        if self.window.exclude_keyframe:
            filled[:, own] = False
        return np.asarray(filled.any(axis=1), bool)

    def for_evaluation(self) -> WindowOf:
        """Return a function that makes one window per keyframe, with the best-scored persons of each second."""
        read = reader(self.windows)

        def window_of(video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: Tensor) -> BankWindow:
            return read(self._slots(video_ids, timestamps), clip_index)

        return window_of

    def for_training(self, seed: int) -> Callable[[int], WindowOf]:
        """Return a function from an epoch to its windows; crowded seconds are sampled by (seed, epoch)."""
        read = reader(self.windows)

        def of_epoch(
            epoch: int, video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: Tensor
        ) -> BankWindow:
            if self.window.draw == "keyframe":
                return read(self._slots(video_ids, timestamps, draw=(seed, epoch)), clip_index)
            persons = torch.bincount(clip_index, minlength=len(video_ids)).numpy()
            slots = self._slots(video_ids, timestamps, draw=(seed, epoch), persons=persons)
            return read(slots, torch.arange(len(clip_index)))

        return lambda epoch: partial(of_epoch, epoch)


def reader(windows: Windows) -> Callable[[Tensor, Tensor], BankWindow]:
    """Return a function from the slots of windows and the window of each person to the windows.

    Where the rows are one tensor, the windows are numbers of its rows. Else they are gathered into one growing buffer,
    because to allocate memory costs as much as the copy.
    """
    buffer: Tensor | None = None

    def read(slots: Tensor, owner: Tensor) -> BankWindow:
        nonlocal buffer
        if windows.table is not None:
            slots = slots.to(windows.table.device)
            return BankWindow(windows.table, slots != 0, owner, slots)
        if buffer is not None and len(buffer) < len(slots):
            buffer = None
        window, mask = windows.gather(slots, buffer)
        buffer = window if buffer is None else buffer
        return BankWindow(window, mask, owner, copied=slots)

    return read


@dataclass(frozen=True)
class WindowOptions:
    """Where the rows of windows are held; the choice does not change the windows."""

    mode: str = "resident"
    """`resident`: all rows in one tensor, on the GPU if that is the device, else in a file under `.work` that all
    processes of the machine map; `streamed`: a cache of videos."""
    cache_mb: int = 1024
    "Size of the cache of `streamed`, in MiB."


def window_source(
    banks: Sequence[Bank], window: WindowSettings, *, device: torch.device, options: WindowOptions
) -> WindowSource:
    """Open the windows of `banks` for a head; see `open_windows`."""
    fetch_index(banks, ["detections"])
    windows = open_windows(banks, min_score=window.score, device=device, options=options)
    return WindowSource(windows, window, banks=tuple(banks))


def open_windows(banks: Sequence[Bank], *, min_score: float, device: torch.device, options: WindowOptions) -> Windows:
    """Open the rows of `banks` for windows.

    Args:
        banks: all with the same channels and type; see `ResidentWindows`.
        min_score: rows with a lower score are not read.
        device: device of the finished windows.
        options: see `WindowOptions`.

    Raises:
        InputError: the banks do not fit each other or the threshold.
    """
    if options.mode == "streamed":
        return StreamedWindows(banks, min_score=min_score, cache_bytes=options.cache_mb << 20, device=device)
    if device.type != "cpu":
        return ResidentWindows(banks, min_score=min_score, device=device)
    return ResidentWindows(banks, min_score=min_score, file=resident_file(banks, min_score=min_score))

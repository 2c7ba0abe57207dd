"""The windows of a head: which rows of the bank it reads, as a function of keyframes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    "Whose rows they hold."

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
        """[B]: whether the window of a keyframe holds a row."""
        own = own_second(self.window.seconds, self.window.span)
        filled = self.windows.has_rows(video_ids, np.floor(timestamps).astype(np.int64) - own, self.window.seconds)
        if self.window.exclude_keyframe:
            filled[:, own] = False
        return np.asarray(filled.any(axis=1), bool)

    def for_evaluation(self) -> WindowOf:
        """One window per keyframe, with the best-scored persons of each second."""
        gather = reusing(self.windows)

        def window_of(video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: Tensor) -> BankWindow:
            return BankWindow(*gather(self._slots(video_ids, timestamps)), clip_index)

        return window_of

    def for_training(self, seed: int) -> Callable[[int], WindowOf]:
        """Of an epoch: windows with persons drawn from (seed, epoch) where a second has more than `per_second`."""
        gather = reusing(self.windows)

        def of_epoch(
            epoch: int, video_ids: Sequence[str], timestamps: NDArray[np.float64], clip_index: Tensor
        ) -> BankWindow:
            if self.window.draw == "keyframe":
                return BankWindow(*gather(self._slots(video_ids, timestamps, draw=(seed, epoch))), clip_index)
            persons = torch.bincount(clip_index, minlength=len(video_ids)).numpy()
            slots = self._slots(video_ids, timestamps, draw=(seed, epoch), persons=persons)
            return BankWindow(*gather(slots), torch.arange(len(clip_index)))

        return lambda epoch: partial(of_epoch, epoch)


def reusing(windows: Windows) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """`windows.gather` into one buffer, which grows to the largest batch: fresh memory costs as much as the copy."""
    buffer: Tensor | None = None

    def gather(slots: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal buffer
        if buffer is not None and len(buffer) < len(slots):
            buffer = None
        window, mask = windows.gather(slots, buffer)
        buffer = window if buffer is None else buffer
        return window, mask

    return gather


@dataclass(frozen=True)
class WindowOptions:
    """Where the rows of windows are held; the windows are the same."""

    mode: str = "resident"
    """`resident`: all rows in one tensor, on a GPU where that is the device, else in a file under `.work` that all
    processes of the machine map; `streamed`: a cache of videos."""
    cache_mb: int = 1024
    "MiB of that cache."


def window_source(
    banks: Sequence[Bank], window: WindowSettings, *, device: torch.device, options: WindowOptions
) -> WindowSource:
    """The windows of `banks` for a head; see `open_windows`."""
    windows = open_windows(banks, min_score=window.score, device=device, options=options)
    return WindowSource(windows, window, banks=tuple(banks))


def open_windows(banks: Sequence[Bank], *, min_score: float, device: torch.device, options: WindowOptions) -> Windows:
    """Rows of `banks` to make windows of.

    Args:
        banks: all of one width and type, no video in two of them.
        min_score: rows below are not read.
        device: where windows are wanted.
        options: see `WindowOptions`.

    Raises:
        InputError: the banks do not fit each other or the threshold.
    """
    if options.mode == "streamed":
        return StreamedWindows(banks, min_score=min_score, cache_bytes=options.cache_mb << 20, device=device)
    if device.type != "cpu":
        return ResidentWindows(banks, min_score=min_score, device=device)
    return ResidentWindows(banks, min_score=min_score, file=resident_file(banks, min_score=min_score))

"""Windows from the rows of a bounded number of videos, read when needed; for banks larger than memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import IntArray
from pipeline.bank.held_features import HeldFeatures
from pipeline.bank.reader import Bank
from pipeline.bank.windows.seconds import SecondIndex, check_banks, index_rows
from pipeline.bank.windows.slots import Windows, window_buffer

MOST_INDICES = 10_000  # videos whose seconds are known at once, some 30 KiB each


@dataclass(frozen=True)
class _Seconds:
    rows: Tensor  # int64, positions of the rows that windows read, in the order of the index
    index: SecondIndex


class StreamedWindows(Windows):
    """Windows from a cache of videos.

    Args:
        banks: all with the same channels and type; a video may be in two of them only if both hold the same rows.
        min_score: rows with a lower score are not read; at least the banks' `box_threshold`.
        cache_bytes: bytes of features to keep, of the most recently used videos; see `HeldFeatures`.
        device: device of the finished windows; they are put together on the CPU.

    Raises:
        InputError: the banks do not fit each other or the threshold.
    """

    def __init__(
        self,
        banks: Sequence[Bank],
        *,
        min_score: float,
        cache_bytes: int = 1 << 30,
        device: str | torch.device = "cpu",
    ) -> None:
        self._sources = check_banks(banks, min_score)
        self.min_score = min_score
        self._videos = {video: number for number, (_, video) in enumerate(self._sources)}
        rows = [bank.count("detections", video) for bank, video in self._sources]
        self._offsets = 1 + np.cumsum([0, *rows])  # slot of each video's first row
        self._stage = torch.from_numpy(np.empty((0, banks[0].channels), banks[0].dtype))
        self.like = self._stage.to(device)
        self._features = HeldFeatures(cache_bytes)
        self._seconds: OrderedDict[int, _Seconds] = OrderedDict()

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`; no features are read."""
        videos = np.array([self._videos.get(video, -1) for video in video_ids], np.int64)
        starts, counts = (np.zeros((len(first), seconds), np.int64) for _ in range(2))
        for number in np.unique(videos[videos >= 0]):
            here = videos == number
            found, counts[here] = self._seconds_of(int(number)).index.find(first[here], seconds)
            starts[here] = found + self._offsets[number]
        return starts, counts

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`."""
        window = window_buffer(out, slots, self.like)
        staged = window if window.device.type == "cpu" else self._staged(slots)
        mask = slots != 0
        # All rows of a window belong to one video.
        largest = slots.max(dim=1).values.numpy() if slots.numel() else np.empty(0, np.int64)
        owners = np.searchsorted(self._offsets, largest, side="right") - 1
        rows = staged.numpy()
        order = np.argsort(owners, kind="stable")  # windows of one video after each other, so that it is read once
        for b in order.tolist():
            if owners[b] >= 0:
                owner = int(owners[b])
                known = self._seconds_of(owner).rows
                # Written straight to its place: empty slots get the video's first row, and zeros afterwards.
                chosen = known[(slots[b] - int(self._offsets[owner])).clamp_min_(0)]
                features = self._features.take(owner, *self._sources[owner], "detections")
                torch.index_select(torch.from_numpy(features), 0, chosen, out=staged[b])
            rows[b][~mask[b].numpy()] = 0
        if staged is not window:
            window.copy_(staged)  # waits for the copy, so that the staging buffer can be filled again
        return window, mask.to(window.device)

    def _staged(self, slots: Tensor) -> Tensor:
        """Return a buffer in page-locked memory, which a device copies fastest."""
        shape = (*slots.shape, self.like.shape[1])
        if self._stage.shape[1:] != shape[1:] or len(self._stage) < len(slots):
            self._stage = torch.empty(shape, dtype=self.like.dtype, pin_memory=self.like.is_cuda)
        return self._stage[: len(slots)]

    def _seconds_of(self, number: int) -> _Seconds:
        if number not in self._seconds:
            rows, index = index_rows(*self._sources[number], self.min_score)
            self._seconds[number] = _Seconds(torch.from_numpy(rows), index)
            if len(self._seconds) > MOST_INDICES:
                self._seconds.popitem(last=False)
        self._seconds.move_to_end(number)
        return self._seconds[number]

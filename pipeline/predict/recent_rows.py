"""The window of a camera: the rows of its latest seconds."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.feature_rows import IntArray
from pipeline.bank.windows.seconds import SecondIndex
from pipeline.bank.windows.slots import Windows, window_buffer


class RecentRows(Windows):
    """Windows of one film from the rows of its latest seconds; older ones are dropped, so memory does not grow.

    Args:
        seconds: how many seconds are kept.
        min_score: that of the rows.
        like: [0, C], see `Windows`.
    """

    def __init__(self, seconds: int, min_score: float, like: Tensor) -> None:
        self.min_score, self.like = min_score, like
        self._seconds = seconds
        self._kept: deque[tuple[int, Tensor]] = deque()
        self._join()

    def add(self, second: int, rows: Tensor) -> None:
        """Add the rows [n, C] of a second later than all others, the best score first."""
        self._kept.append((second, rows.clone()))
        while self._kept[0][0] <= second - self._seconds:
            self._kept.popleft()
        self._join()

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`; every video is the film."""
        return self._index.find(first, seconds)

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`."""
        window = window_buffer(out, slots, self.like)
        index = slots.to(self._rows.device)
        torch.index_select(self._rows, 0, index.view(-1), out=window.view(-1, self._rows.shape[1]))
        return window, index != 0

    def _join(self) -> None:
        counts = np.array([len(rows) for _, rows in self._kept], np.int64)
        keys = np.array([second for second, _ in self._kept], np.int64)
        self._index = SecondIndex(keys, 1 + np.cumsum(counts) - counts, counts)
        zeros = self.like.new_zeros((1, self.like.shape[1]))
        self._rows = torch.cat([zeros, *(rows for _, rows in self._kept)])

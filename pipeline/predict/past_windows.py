"""Windows without what comes after the keyframe's own second: what a camera knows."""

from collections.abc import Sequence

from torch import Tensor

from pipeline.bank.feature_rows import IntArray
from pipeline.bank.windows.slots import Windows


class PastWindows(Windows):
    """Windows of another object, in which the seconds after the keyframe's own are empty.

    Args:
        windows: the whole windows.
        own: number of the keyframe's own second within a window.
    """

    def __init__(self, windows: Windows, own: int) -> None:
        self._windows, self._own = windows, own
        self.min_score, self.like, self.table = windows.min_score, windows.like, windows.table

    def find(self, video_ids: Sequence[str], first: IntArray, seconds: int) -> tuple[IntArray, IntArray]:
        """See `Windows.find`."""
        starts, counts = self._windows.find(video_ids, first, seconds)
        counts[:, self._own + 1 :] = 0
        return starts, counts

    def gather(self, slots: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Windows.gather`."""
        return self._windows.gather(slots, out)

"""The windows of a head's parameters, as functions of keyframes."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bank.window import ResidentWindows

WindowOf = Callable[[Sequence[str], NDArray[np.float64]], tuple[Tensor, Tensor]]
TrainingWindowOf = Callable[[Sequence[str], NDArray[np.float64], int], tuple[Tensor, Tensor]]


def evaluation_windows(windows: ResidentWindows, *, seconds: int, per_second: int) -> WindowOf:
    """Windows with the best-scored persons of each second."""

    def window_of(video_ids: Sequence[str], timestamps: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        return windows.gather(windows.slots(video_ids, timestamps, seconds=seconds, per_second=per_second))

    return window_of


def training_windows(windows: ResidentWindows, *, seconds: int, per_second: int, seed: int) -> TrainingWindowOf:
    """Windows with persons drawn from (seed, epoch) where a second has more than `per_second`."""

    def window_of(video_ids: Sequence[str], timestamps: NDArray[np.float64], epoch: int) -> tuple[Tensor, Tensor]:
        slots = windows.slots(video_ids, timestamps, seconds=seconds, per_second=per_second, draw=(seed, epoch))
        return windows.gather(slots)

    return window_of

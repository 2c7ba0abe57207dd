import numpy as np
import torch

from pipeline.predict.recent_rows import RecentRows


def rows(count: int, value: float) -> torch.Tensor:
    return torch.full((count, 3), value)


def window(windows: RecentRows, time: float) -> tuple[list[float], list[bool]]:
    slots = windows.slots(["a"], [time], seconds=4, per_second=2, span="past")
    found, mask = windows.gather(slots)
    return found[0, :, 0].tolist(), mask[0].tolist()


def test_a_window_holds_the_latest_seconds() -> None:
    windows = RecentRows(4, 0.5, torch.empty(0, 3))
    assert window(windows, 0.0) == ([0.0] * 8, [False] * 8)
    windows.add(0, rows(1, 1.0))
    windows.add(2, rows(3, 2.0))
    assert window(windows, 2.5) == ([0, 0, 1, 0, 0, 0, 2, 2], [False, False, True, False, False, False, True, True])
    assert windows.has_rows(["a"], np.array([0]), 3).tolist() == [[True, False, True]]


def test_memory_does_not_grow() -> None:
    windows = RecentRows(4, 0.5, torch.empty(0, 3))
    for second in range(100):
        windows.add(second, rows(2, float(second)))
    assert windows.gather(torch.zeros(1, 1, dtype=torch.int64))[1].tolist() == [[False]]
    assert len(windows._rows) == 1 + 4 * 2
    assert window(windows, 99.0)[0] == [96, 96, 97, 97, 98, 98, 99, 99]

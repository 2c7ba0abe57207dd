"""From a head's window to the windows of banks."""

from collections.abc import Sequence

import torch

from pipeline.bank.reader import Bank
from pipeline.features.windows import WindowSource, open_windows


def window_source(
    banks: Sequence[Bank], window: WindowSettings, *, device: torch.device, mode: str, cache_mb: int
) -> WindowSource:
    """The windows of `banks`; for `device`, `mode` and `cache_mb` see `open_windows`."""
    windows = open_windows(banks, min_score=window.score, device=device, mode=mode, cache_mb=cache_mb)
    return WindowSource(windows, window, banks=tuple(banks))

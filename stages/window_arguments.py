"""From a head's parameters, or its sidecar, to its windows."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.bank.reader import Bank
from pipeline.features.windows import WindowSource, open_windows


def window_source(
    banks: Sequence[Bank], window: Mapping[str, Any], *, device: torch.device, mode: str, cache_mb: int
) -> WindowSource:
    """The windows of `banks` for the parameters `head.window`; for the rest see `open_windows`."""
    shape = {key: value for key, value in window.items() if key not in ("mask", "score")}
    windows = open_windows(banks, min_score=window["score"], device=device, mode=mode, cache_mb=cache_mb)
    return WindowSource(windows, banks=tuple(banks), **shape)

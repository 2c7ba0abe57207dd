"""Make window settings from few arguments."""

from typing import Any

from pipeline.models.settings import WindowSettings


def window_of(seconds: int, per_second: int, **more: Any) -> WindowSettings:
    """A window, of valid slots and rows from 0.5 on where nothing else is said."""
    return WindowSettings(**{"seconds": seconds, "per_second": per_second, "mask": "valid", "score": 0.5, **more})

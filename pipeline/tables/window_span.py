"""On which side of its keyframe a window of seconds lies."""

from typing import Literal

Span = Literal["past", "centred", "future"]
USUAL_SPAN: Span = "centred"


def own_second(seconds: int, span: Span) -> int:
    """Which second of a window is the keyframe's own.

    Args:
        seconds: length of the window.
        span: `past` ends with the keyframe's second, `future` begins with it, `centred` has `seconds // 2` before it.
    """
    return {"past": seconds - 1, "centred": seconds // 2, "future": 0}[span]

"""The span of a window: the position of its seconds relative to the keyframe."""

from typing import Literal

Span = Literal["past", "centred", "future"]
USUAL_SPAN: Span = "centred"


def own_second(seconds: int, span: Span) -> int:
    """Return the index of the keyframe's own second within a window.

    Args:
        seconds: length of the window.
        span: `past` ends with the keyframe's second, `future` begins with it, `centred` has `seconds // 2` seconds
            before it.
    """
    return {"past": seconds - 1, "centred": seconds // 2, "future": 0}[span]

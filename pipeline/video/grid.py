"""The constant grid of frames that clips are counted on, from presentation times.

Grid frame i stands at i / fps seconds and shows the source frame nearest in presentation time, the earlier of
two that are equally near. So a clip has the same length in seconds in every film, whatever its frame rate.
"""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")

# Times that differ by less are equally near; the finest clock of a film ticks in microseconds.
TIE_SECONDS = 1e-7


def grid_length(duration_seconds: float, fps: float) -> int:
    """Number of grid frames of a film: duration times fps, rounded (half up), at least 1."""
    return max(1, math.floor(duration_seconds * fps + 0.5))


def shown_frames(frames: Iterable[tuple[float, Frame]], fps: float) -> Iterator[tuple[int, float, Frame]]:
    """Yield the frames that the grid shows, in one pass with one frame held back.

    The grid's length is known only when all frames are: the caller drops the frames at the end whose first grid
    index is not below it.

    Args:
        frames: (seconds, frame), strictly ascending.
        fps: grid frames per second.

    Yields:
        (first grid index that shows the frame, seconds, frame); indices start at 0 and ascend strictly.
    """
    held: tuple[float, Frame] | None = None
    index = 0
    for time, frame in frames:
        if held is not None:
            # Grid frames up to the middle between two frames show the first of them.
            middle = (held[0] + time + TIE_SECONDS) / 2
            end = math.floor(middle * fps) + 1
            if end > index:
                yield index, *held
                index = end
        held = (time, frame)
    if held is not None:
        yield index, *held

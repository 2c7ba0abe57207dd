"""The grid: frames at a constant rate, selected by presentation time, on which clips are counted.

Grid frame i is at i / fps seconds and shows the source frame nearest in presentation time (of two equally near
frames, the earlier). So a clip has the same length in seconds in every film, whatever its frame rate.
"""

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")

# Distances that differ by less than this count as equal; the finest clock of a film ticks in microseconds.
TIE_SECONDS = 1e-7
# Instead of a rate: each frame of the film is one of the grid, whatever its time.
EVERY_FRAME = 0.0


def frame_count(duration_seconds: float, fps: float, *, decoded: int) -> int:
    """Return the number of grid frames of a film; on a grid of EVERY_FRAME it is the number of decoded frames."""
    return decoded if fps == EVERY_FRAME else grid_length(duration_seconds, fps)


def grid_length(duration_seconds: float, fps: float) -> int:
    """Return the number of grid frames of a film: duration times fps, rounded (half up), at least 1."""
    return max(1, math.floor(duration_seconds * fps + 0.5))


def shown_frames(frames: Iterable[tuple[float, Frame]], fps: float) -> Iterator[tuple[int, float, Frame]]:
    """Yield the frames that the grid shows, in one pass that holds back one frame.

    The length of the grid is known only at the end. The caller then drops the last frames whose first grid index is
    not below it.

    Args:
        frames: (seconds, frame), strictly ascending.
        fps: grid frames per second, or EVERY_FRAME.

    Yields:
        (first grid index that shows the frame, seconds, frame); indices start at 0 and ascend strictly.
    """
    if fps == EVERY_FRAME:
        yield from ((index, *each) for index, each in enumerate(frames))
        return
    held: tuple[float, Frame] | None = None
    index = 0
    for time, frame in frames:
        if held is not None:
            # Grid frames up to the middle between two frames show the first of the two.
            middle = (held[0] + time + TIE_SECONDS) / 2
            end = math.floor(middle * fps) + 1
            if end > index:
                yield index, *held
                index = end
        held = (time, frame)
    if held is not None:
        yield index, *held

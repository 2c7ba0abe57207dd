"""Choose the frames of a film that are stored, before it is decoded, from the times that its packets tell.

For a store that is read once and then deleted: most frames of a film are in no clip of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.video.grid import Frame, grid_length, shown_frames
from pipeline.video.probe import Media

# Takes the length of a film in seconds and in grid frames, and returns the grid indices that are needed.
Wanted = Callable[[float, int], NDArray[np.int64]]


class UnforeseenFramesError(Exception):
    """The frames of a film, or their times, differ from what its packets tell."""


@dataclass(frozen=True, eq=False)
class ChosenFrames:
    """Which frames of a film are stored.

    Attributes:
        seconds: the time of each frame, ascending.
        is_kept: for each frame whether it is stored; the first one always is, as it tells the size.
    """

    seconds: list[float]
    is_kept: NDArray[np.bool_]

    def select(self, frames: Iterable[tuple[float, Frame]]) -> Iterator[tuple[float, Frame | None]]:
        """Yield every frame of the film with its time, and None in place of one that is not stored.

        Raises:
            UnforeseenFramesError: a frame is lost, is one too many, or has another time; the choice is of no use then.
        """
        number = 0
        for time, frame in frames:
            if number == len(self.seconds) or time != self.seconds[number]:
                raise UnforeseenFramesError
            yield time, frame if self.is_kept[number] else None
            number += 1
        if number < len(self.seconds):
            raise UnforeseenFramesError


def choose_frames(media: Media, fps: float, wanted: Wanted) -> ChosenFrames | None:
    """Return the frames that are needed of a film.

    Args:
        media: what `probe_video` found in it.
        fps: grid frames per second.
        wanted: see `Wanted`.

    Returns:
        None if the packets do not tell all frames: then every frame must be stored.
    """
    seconds = media.seconds
    if not media.is_timed or len(seconds) != media.expected_frames or (np.diff(seconds) <= 0).any():
        return None
    length = media.end_seconds(seconds[-1])
    rows = [(first, number) for first, _, number in shown_frames(zip(seconds, range(len(seconds)), strict=True), fps)]
    firsts, numbers = np.array(rows, np.int64).T
    indices = wanted(length, grid_length(length, fps))
    is_kept = np.zeros(len(seconds), bool)
    is_kept[numbers[np.searchsorted(firsts, indices, side="right") - 1]] = True
    is_kept[0] = True
    return ChosenFrames(seconds, is_kept)

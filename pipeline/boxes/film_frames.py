"""What a detector of persons is: a function from the frames of a film to boxes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from pipeline.tables.csv_rows import Floats


class FilmFrames(Protocol):
    """The frames of a film's keyframes, RGB, uint8 [height, width, 3]; a list of arrays is one too.

    They are read when they are asked for. A detector may go through them more than once, and keeps none of them.
    """

    def __len__(self) -> int:
        """Count the frames."""

    def __getitem__(self, place: int, /) -> np.ndarray:
        """Read one frame."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read all frames in order."""


# Takes the frames of a film's keyframes and returns the boxes of each: [n, 5] with
# x1, y1, x2, y2 as fractions of the frame, and a score; or [n, 6], where the last column is -1 for a person and for an
# object the place of its class among the names of the detector's classes.
Detector = Callable[[FilmFrames], Sequence[Floats]]

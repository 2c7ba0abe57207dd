"""Which times of a film are looked at, and which of its frames that takes; both follow from the film's length alone.

The process that decodes the film asks this, so nothing here imports PyTorch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features.requests import film_seconds
from pipeline.predict.scored_times import Floats, first_of_each, of_windows, stepped
from pipeline.tables.film_ends import is_beyond
from pipeline.tables.timelines import Timeline
from pipeline.video.clip_indices import clip_indices
from pipeline.video.clip_input import ClipInput


@dataclass(frozen=True, kw_only=True)
class FilmTimes:
    """The times of a film at which boxes are scored or fill windows, as timestamps."""

    timeline: Timeline
    every: float
    "Seconds between scored times."
    asked: Floats | None
    "The times that a user names; None scores one of each `every` seconds."
    boxed: Floats | None
    "The times at which a person's box is known; None where a detector looks for persons."
    with_window: bool
    "Whether the head reads windows, which hold every second."
    with_whole_frames: bool
    "Whether the whole frame stands for a second without a box."

    @property
    def shift_seconds(self) -> float:
        """Seconds from the film's start less the timestamp."""
        return self.timeline.offset_seconds - self.timeline.first_timestamp

    def scored(self, length: float) -> Floats:
        """Return the times that are scored in a film of a length in seconds."""
        if self.asked is not None:
            return self._inside(self.asked, length)
        grid = self._grid(length)
        start = float(grid[0]) if len(grid) else self.timeline.first_allowed
        if self.boxed is None:
            return self._inside(stepped(start, self.timeline.first_allowed + length, self.every), length)
        return first_of_each(self._known(length), start, self.every)

    def taken(self, length: float) -> Floats:
        """Return the times whose boxes are taken: those that are scored, and those that fill windows."""
        scored = self.scored(length)
        if not self.with_window:
            return scored
        return np.union1d(self._grid(length) if self.boxed is None else of_windows(self._known(length)), scored)

    def _grid(self, length: float) -> Floats:
        return film_seconds(self.timeline.first_timestamp, self.shift_seconds, length)

    def _known(self, length: float) -> Floats:
        assert self.boxed is not None
        times = self._inside(self.boxed, length)
        return np.union1d(times, self._grid(length)) if self.with_whole_frames else times

    def _inside(self, stamps: Floats, length: float) -> Floats:
        seconds = stamps + self.shift_seconds
        kept: Floats = stamps[(seconds >= 0) & ~is_beyond(seconds, length)]
        return kept


@dataclass(frozen=True)
class FramesOfTimes:
    """The frames of the clips around the times of a film, and the frames at these times, which a detector looks at."""

    times: FilmTimes
    clips: tuple[ClipInput, ...]
    "The clips that are read around every time."
    fps: float
    "Of the grid."

    def __call__(self, length: float, total: int) -> NDArray[np.int64]:
        """Return the grid indices; see `Wanted` (`pipeline/video/chosen_frames.py`)."""
        stamps, line = self.times.taken(length), self.times.timeline
        # Rows of windows and scored keyframes add the same three numbers in another order, which may round otherwise.
        seconds = np.union1d(stamps + self.times.shift_seconds, stamps - line.first_timestamp + line.offset_seconds)
        shapes = {(1, 1, 0), *((clip.frames, clip.interval, clip.offset_frames) for clip in self.clips)}
        found = [
            clip_indices(time, fps=self.fps, frames=frames, interval=interval, total=total, offset_frames=offset)
            for time in seconds.tolist()
            for frames, interval, offset in sorted(shapes)
        ]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

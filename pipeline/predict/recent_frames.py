"""The latest frames of a camera, kept as `extract_frames` stores them, and read as a frame store is."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.predict.camera import Taken
from pipeline.tables.film_ends import is_beyond
from pipeline.video.clip_input import ClipInput
from pipeline.video.decode import Picture
from pipeline.video.extract import FrameSettings, JpegMaker
from pipeline.video.grid import grid_length, shown_frames
from pipeline.video.store import FrameStore, Row

ALWAYS = float(2**31)
"Seconds; the length of a film that has not ended."


class Recent(FrameStore):
    """Some frames of one film, in memory: all that a time of it needs.

    Args:
        video_id: the film.
        fps: grid frames per second.
        rows: the frames, ascending.
        end: (number of grid frames, length in seconds); None while the film goes on.
    """

    def __init__(self, video_id: str, fps: float, rows: Sequence[Row], end: tuple[int, float] | None) -> None:
        self._fps, self.video_ids = fps, [video_id]
        self._rows, self._end = rows, end

    def grid_frames(self, video_id: str) -> int:
        """See `FrameStore.grid_frames`; of a film that goes on, no clip reaches beyond this."""
        return self._rows[-1].first_grid + 1 if self._end is None else self._end[0]

    def duration_seconds(self, video_id: str) -> float:
        """See `FrameStore.duration_seconds`."""
        return ALWAYS if self._end is None else self._end[1]

    def read_clip(self, video_id: str, grid_indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """See `FrameStore.read_clip`."""
        firsts = [row.first_grid for row in self._rows]
        places = np.searchsorted(firsts, np.asarray(grid_indices, np.int64), side="right") - 1
        if not len(places) or places.min() < 0:
            raise IndexError(f"{video_id}: grid indices {list(grid_indices)}, kept are those from {firsts[:1]} on")
        distinct, where = np.unique(places, return_inverse=True)
        frames = [simplejpeg.decode_jpeg(self._rows[place].jpeg, colorspace="RGB") for place in distinct.tolist()]
        return np.stack(frames)[where]


@dataclass(frozen=True)
class Due:
    """A time of the film whose frames are all there."""

    seconds: float
    is_scored: bool
    "Otherwise it only fills windows."
    frames: Recent
    arrived: float
    "When the frame of this time came, by the caller's clock."


def reach(clip: ClipInput) -> tuple[int, int]:
    """Return how many grid frames a clip reaches (back, ahead) from its centre."""
    first = -(clip.frames // 2) * clip.interval + clip.offset_frames
    last = (clip.frames - 1 - clip.frames // 2) * clip.interval + clip.offset_frames
    return max(0, -first), max(0, last)


class FrameTap:
    """Turns a camera's frames into the times that are due.

    Frames pass through the same grid, scaling and JPEG as those of a file. Only those stay that a clip may need.

    Args:
        video_id: names the film.
        settings: how frames are stored.
        clips: the clips that are read around every time.
        times: the times, ascending: (seconds, whether it is scored); never ends.
    """

    def __init__(
        self,
        video_id: str,
        settings: FrameSettings,
        clips: Iterable[ClipInput],
        times: Iterator[tuple[float, bool]],
    ) -> None:
        reaches = [reach(clip) for clip in clips]
        self._video_id, self._settings, self._times = video_id, settings, times
        self._back = max(back for back, _ in reaches)
        self._ahead = max(ahead for _, ahead in reaches)
        self._rows: deque[Row] = deque()
        self._arrived: deque[float] = deque()
        self._next = next(times)
        self._end = (0.0, 0.0)  # seconds of the last frame, and for how long it is shown
        self._now = 0.0

    def due(self, frames: Iterable[tuple[float, Taken]]) -> Iterator[tuple[Row | None, list[Due]]]:
        """Yield every frame that the grid shows, as it is stored, with the times that it makes due.

        The last item has the times whose clips reach beyond the film's end, and no frame if the grid ends before it.

        Args:
            frames: (when it came, frame).
        """
        maker = JpegMaker(self._settings)
        row: Row | None = None
        for index, seconds, picture in shown_frames(self._noted(frames), self._settings.fps):
            if row is not None:
                yield row, self._ready(None)
            row = Row(maker.from_either(picture)[0], seconds, index)
            self._rows.append(row)
            self._arrived.append(self._now)
        if row is None:
            return
        length = self._end[0] + self._end[1]
        total = grid_length(length, self._settings.fps)
        while self._rows[-1].first_grid >= total:
            self._rows.pop()
            self._arrived.pop()
        yield row if self._rows[-1] is row else None, self._ready(length)

    def _noted(self, frames: Iterable[tuple[float, Taken]]) -> Iterator[tuple[float, Picture]]:
        for now, frame in frames:
            # `shown_frames` holds one frame back: what it yields came before this one.
            yield frame.seconds, frame.picture
            self._now, self._end = now, (frame.seconds, frame.duration_seconds)

    def _ready(self, length: float | None) -> list[Due]:
        """Return the times whose frames are all decided; all that remain within a film of a known length."""
        found = []
        decided = self._rows[-1].first_grid
        end = None if length is None else (grid_length(length, self._settings.fps), length)
        while self._is_due(decided, length):
            seconds, is_scored = self._next
            self._drop(seconds)
            frames = Recent(self._video_id, self._settings.fps, tuple(self._rows), end)
            found.append(Due(seconds, is_scored, frames, self._arrival(seconds)))
            self._next = next(self._times)
        self._drop(self._next[0])
        return found

    def _centre(self, seconds: float) -> int:
        return int(np.floor(seconds * self._settings.fps + 0.5))

    def _is_due(self, decided: int, length: float | None) -> bool:
        if length is not None:
            return not bool(is_beyond(self._next[0], length))
        return self._centre(self._next[0]) + self._ahead <= decided

    def _drop(self, seconds: float) -> None:
        """Drop frames that no clip of this time or a later one needs; the first frame is repeated before the film."""
        first = max(0, self._centre(seconds) - self._back)
        while len(self._rows) > 1 and self._rows[1].first_grid <= first:
            self._rows.popleft()
            self._arrived.popleft()

    def _arrival(self, seconds: float) -> float:
        firsts = [row.first_grid for row in self._rows]
        place = int(np.searchsorted(firsts, self._centre(seconds), side="right")) - 1
        return self._arrived[max(0, place)]


def live_times(every: float, *, with_seconds: bool) -> Iterator[tuple[float, bool]]:
    """Yield the times 0, every, 2 every, ... which are scored; with `with_seconds` whole seconds between them too."""
    number, second = 0, 0
    while True:
        scored = round(every * number, 6)
        if with_seconds and second < scored:
            yield float(second), False
            second += 1
            continue
        yield scored, True
        number += 1
        second += second == scored

"""Give the time of frame n of a film: by a constant rate, or by `frame_times.csv` if the film's rate varies.

`frame_times.csv` lies beside `videos.csv` (`video_id,frame,seconds`). It gives the times of some frames of each of its
films, starting with frame 0; other frames are spaced evenly between these. `new-dataset` writes it from the films.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import numbers, read_rows, shown

NAME = "frame_times.csv"
HEADER = ["video_id", "frame", "seconds"]
# All tables give times of frames to a thousandth of a second.
ROUNDING_SECONDS = 0.0005
# Tolerance for sums of floats.
TICK = 1e-9

Knots = tuple[tuple[int, float], ...]
"(frame, seconds) pairs, ascending; the first frame is 0."


@dataclass(frozen=True)
class Clock:
    """The times of a film's frames, counted from 0."""

    fps: float
    "Frames per second; the mean if the rate varies."
    knots: Knots = ()
    "Empty if the rate is constant."

    def seconds(self, frame: int) -> float:
        """Return the time of a frame. After the last knot, the rate before it goes on."""
        if len(self.knots) < 2:
            return frame / self.fps
        (a, start), (b, end) = self._around(self._columns[0], frame)
        return start + (frame - a) * (end - start) / (b - a)

    def frame(self, seconds: float) -> int:
        """Return the frame that is shown at a time."""
        if len(self.knots) < 2:
            return int(seconds * self.fps + TICK)
        (a, start), (b, end) = self._around(self._columns[1], seconds)
        # Knots are rounded to a millionth of a second.
        return int(a + (seconds - start + 2e-6) * (b - a) / (end - start))

    @cached_property
    def _columns(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        frames, times = zip(*self.knots, strict=True)
        return frames, times

    def _around(self, values: Sequence[float], value: float) -> tuple[tuple[int, float], tuple[int, float]]:
        after = min(max(bisect_right(values, value), 1), len(values) - 1)
        return self.knots[after - 1], self.knots[after]


def knots_of(seconds: Sequence[float]) -> Knots:
    """Choose few frames from which the times of all frames follow with an error of at most 0.0005 s.

    Args:
        seconds: the time of every frame, ascending.
    """
    last = len(seconds) - 1
    knots, at = [], 0
    while at < last:
        knots.append((at, round(seconds[at], 6)))
        low, high = float("-inf"), float("inf")
        end = at + 1
        for frame in range(at + 1, last + 1):
            slope = (seconds[frame] - seconds[at]) / (frame - at)
            if low <= slope <= high:
                end = frame
            room = ROUNDING_SECONDS / (frame - at)
            low, high = max(low, slope - room), min(high, slope + room)
            if low > high:
                break
        at = end
    return (*knots, (last, round(seconds[last], 6))) if last > 0 else ()


def varying_knots(seconds: Sequence[float], fps: float) -> tuple[Knots, float]:
    """Return the knots of a film with a varying rate, and the largest error of `frame / fps` in seconds.

    If all frames lie within half a frame of a constant rate, the film has no knots.
    """
    off = max((abs(time - frame / fps) for frame, time in enumerate(seconds)), default=0.0) if fps > 0 else 0.0
    return (knots_of(seconds), off) if fps > 0 and off > 0.5 / fps else ((), off)


def frame_times_text(films: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return the text of `frame_times.csv`."""
    rows = [f"{video_id},{frame},{time:.6f}" for video_id, knots in films.items() for frame, time in knots]
    return "\n".join([",".join(HEADER), *rows, ""])


def read_frame_times(folder: Path) -> dict[str, Knots]:
    """Return the knots of every film in `frame_times.csv`; empty if there is no such file.

    Raises:
        InputError: the header or a row is wrong, or a film's frames or times do not ascend from frame 0.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    rows = read_rows(path)
    columns = [rows.column(index) for index in range(len(HEADER))]
    if not len(rows) or [column[0].as_py() for column in columns] != HEADER or (rows.widths != len(HEADER)).any():
        raise InputError(f"{path}: expected the header {','.join(HEADER)} and rows of three columns")
    ids, texts = columns[0].to_pylist(), [column.to_pylist() for column in columns]
    frames, seconds = numbers(columns[1]).tolist(), numbers(columns[2]).tolist()
    found: dict[str, list[tuple[int, float]]] = {}
    for row in range(1, len(rows)):
        before = found.setdefault(ids[row], [])
        frame, time = frames[row], seconds[row]
        first = frame == 0 and time >= 0
        rises = bool(before) and frame > before[-1][0] and time > before[-1][1] and frame == int(frame)
        if not (rises if before else first) or frame >= 2**31 or time >= 1e9:
            raise InputError(
                f"{path}: row {rows.lines[row]}: frame {shown(texts[1][row])}, seconds {shown(texts[2][row])} of "
                f"{shown(ids[row])}, expected frame 0 first, then frames and times that ascend"
            )
        before.append((int(frame), time))
    return {video_id: tuple(knots) for video_id, knots in found.items()}

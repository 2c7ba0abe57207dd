"""Leave out keyframes beyond the end of their film, and print how many there are.

The import opens no film, and a film may be shorter than its name or its annotations say (clips of Kinetics, broken
downloads). A clip repeats the last frame only where it extends over the end from a keyframe within the film.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.base.ranks import is_main
from pipeline.tables.keyframes import KeyframeSet

# Times are floating-point sums; the finest clock of a film ticks in microseconds.
TICK_SECONDS = 1e-6


class FilmMoment(NamedTuple):
    """A moment of a film, perhaps beyond its end."""

    video_id: str
    timestamp: float
    time_seconds: float
    duration_seconds: float


def is_beyond(time_seconds: Any, duration_seconds: float) -> Any:
    """Return whether a time (or each of an array) lies at or beyond the end of a film of this length."""
    return time_seconds >= duration_seconds - TICK_SECONDS


def keyframes_in_films(keyframes: KeyframeSet, duration_seconds: Callable[[str], float], what: str) -> KeyframeSet:
    """Select the keyframes before the end of their film; print how many are left out.

    Args:
        keyframes: of films that have frames.
        duration_seconds: returns the length of a film from its id.
        what: names the keyframes in the printed line, e.g. "keyframes of train".
    """
    lengths = {video_id: duration_seconds(video_id) for video_id in dict.fromkeys(keyframes.video_ids)}
    rows = zip(keyframes.video_ids, keyframes.timestamp.tolist(), keyframes.time_seconds.tolist(), strict=True)
    moments = [FilmMoment(video_id, timestamp, time, lengths[video_id]) for video_id, timestamp, time in rows]
    inside = [not is_beyond(each.time_seconds, each.duration_seconds) for each in moments]
    say_beyond([each for each, kept in zip(moments, inside, strict=True) if not kept], what)
    return keyframes if all(inside) else keyframes.select(np.flatnonzero(inside))


def say_beyond(beyond: Sequence[FilmMoment], what: str) -> None:
    """Print one line on stderr about the moments that are left out, if any; only the main rank prints."""
    if beyond and is_main():
        first = beyond[0]
        print(
            f"{len(beyond)} {what} in {len({each.video_id for each in beyond})} films lie beyond the film's end and "
            f"are left out; the first: {first.video_id} at {first.timestamp:.10g}, {first.time_seconds:.10g} s into a "
            f"film of {first.duration_seconds:.6g} s",
            file=sys.stderr,
        )

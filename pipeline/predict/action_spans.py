"""Join the scored seconds of each track into spans: who did what, from when to when (`actions.csv`).

For each track and action: a span holds at least one second with a score of `start` times the class's threshold, and
goes on to both sides while the score is at least `keep` times it. The two levels keep a score that swings about the
threshold from being cut into many spans. A second stands for the time half a step to either side of it, where a step
is the usual distance of the film's seconds. A track may lack its box for `bridge_seconds`: the span goes on, and
the seconds without a box do not count for its mean. Spans shorter than `min_seconds` are left out.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.files import atomic_path, check_own_file
from pipeline.predict.predicted import Predicted
from pipeline.predict.scored_seconds import ScoredSecond, scored_seconds, threshold_array

HEADER = ("video_id", "track_id", "action_id", "action", "start_seconds", "end_seconds", "mean_score")
# Times are sums of floats.
TICK = 1e-6


@dataclass(frozen=True)
class SpanRules:
    """How seconds become spans.

    Raises:
        InputError: a value is out of its range.
    """

    start: float = 1.0
    "A span begins where a score is at least this times the threshold of its class."
    keep: float = 0.75
    "It goes on while the score is at least this times the threshold."
    min_seconds: float = 1.0
    "Shorter spans are left out."
    bridge_seconds: float = 2.0
    "For this long a track may lack its box."

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.keep <= self.start:
            raise InputError(f"--keep is {self.keep:g} and --start {self.start:g}, expected 0 < keep <= start")
        for name in ("min_seconds", "bridge_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name):g}, expected seconds, 0 or more")


@dataclass(frozen=True)
class Span:
    """One action of one track."""

    video_id: str
    track_id: int
    action_id: int
    action: str
    start_seconds: float
    end_seconds: float
    mean_score: float


# The scores that can be part of a span, and their classes' places; a film of hours has few of them.
_Kept = tuple[NDArray[np.integer[Any]], NDArray[np.float64]]


def find_spans(
    predicted: Predicted, rules: SpanRules, seconds_of_films: Iterable[ScoredSecond] | None = None
) -> Iterator[Span]:
    """Yield the spans of all films, sorted by film, track, start and action.

    Persons without a track id are in no span: nothing says which of their boxes belong together.

    Args:
        predicted: the films.
        rules: see `SpanRules`.
        seconds_of_films: their `scored_seconds`, sorted by film, where they come one by one; None takes them from the
            tables.

    Raises:
        InputError: see `scored_seconds` and `threshold_array`.
    """
    thresholds = threshold_array(predicted)
    durations = dict(
        zip(*(predicted.videos[name].to_pylist() for name in ("video_id", "duration_seconds")), strict=True)
    )
    found = scored_seconds(predicted) if seconds_of_films is None else seconds_of_films
    for video_id, group in groupby(found, key=lambda each: each.video_id):
        seen, tracks = _tracks(group, rules.keep * thresholds)
        step = usual_step(seen)
        for track_id, track in sorted(tracks.items()):
            times, of_classes = _arrays(track, len(thresholds))
            spans = []
            for label, scores, threshold in zip(predicted.labels, of_classes, thresholds, strict=True):
                for first, last in _runs(times, scores, threshold, step, rules):
                    start = max(float(times[first]) - step / 2, 0.0)
                    end = min(float(times[last]) + step / 2, durations.get(video_id, float("inf")))
                    if end - start >= rules.min_seconds - TICK:
                        mean = float(scores[first : last + 1].mean())
                        spans.append(Span(video_id, track_id, label.id, label.name, start, end, mean))
            yield from sorted(spans, key=lambda each: (each.start_seconds, each.action_id))


def write_spans(
    predicted: Predicted, path: Path, rules: SpanRules, seconds_of_films: Iterable[ScoredSecond] | None = None
) -> str:
    """Write `actions.csv`, and return a line that says what is in it; arguments are those of `find_spans`.

    Raises:
        InputError: see `find_spans`; or another file than a CSV of spans stands there.
    """
    header = ",".join(HEADER).encode()
    check_own_file(path, lambda data: data.startswith(header))
    count, tracks = 0, set()
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for each in find_spans(predicted, rules, seconds_of_films):
            numbers = f"{each.start_seconds:.3f}", f"{each.end_seconds:.3f}", f"{each.mean_score:.4f}"
            table.writerow([each.video_id, each.track_id, each.action_id, each.action, *numbers])
            count += 1
            tracks.add((each.video_id, each.track_id))
    without = predicted.persons["track_id"].null_count
    left = f"; {without} boxes without a track id are in no span" if without else ""
    return f"{path}: written: {count} spans of {len(tracks)} tracks{left}"


def usual_step(times: Sequence[float]) -> float:
    """Return the usual distance between the seconds of a film: the median, of two the lower; 1 where there is one."""
    distances = np.diff(np.unique(times))
    return float(np.quantile(distances, 0.5, method="lower")) if len(distances) else 1.0


def _tracks(
    seconds: Iterable[ScoredSecond], least: NDArray[np.float64]
) -> tuple[list[float], dict[int, dict[float, _Kept]]]:
    """Return the times of a film's seconds, and what each track has at each of its own.

    Of two boxes of a track at one time each class has the higher score. Scores below `least` [classes] are left out.
    """
    times: list[float] = []
    found: dict[int, dict[float, _Kept]] = {}
    for second in seconds:
        times.append(second.time_seconds)
        tracks = np.array([-1 if each is None else each for each in second.tracks])
        for track_id in {each for each in second.tracks if each is not None}:
            highest = second.scores[tracks == track_id].max(axis=0)
            track = found.setdefault(track_id, {})
            if known := track.get(second.time_seconds):
                np.maximum.at(highest, *known)
            (columns,) = np.nonzero((highest > 0) & (highest >= least))
            track[second.time_seconds] = columns.astype(np.int32), highest[columns]
    return times, found


def _arrays(track: dict[float, _Kept], classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times of a track [seconds], ascending, and its scores [classes, seconds]; 0 for those left out."""
    times = sorted(track)
    scores = np.zeros((classes, len(times)))
    for place, time in enumerate(times):
        columns, kept = track[time]
        scores[columns, place] = kept
    return np.array(times), scores


def _runs(
    times: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, step: float, rules: SpanRules
) -> Iterator[tuple[int, int]]:
    """Yield the first and the last second of each span of one track and class."""
    kept = (scores > 0) & (scores >= rules.keep * threshold)
    missed = np.diff(times) - step  # seconds without a box before each second but the first
    broken = np.r_[True, missed > rules.bridge_seconds + TICK]
    begins = kept & (broken | ~np.r_[False, kept[:-1]])
    number = np.cumsum(begins)
    for each in range(1, int(number[-1]) + 1):
        (places,) = np.nonzero(kept & (number == each))
        if (scores[places] >= rules.start * threshold).any():
            yield int(places[0]), int(places[-1])

"""What a person is asked to correct: boxes of one film, with the person and the actions above their thresholds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.annotations.frame_times import Clock
from pipeline.base.errors import InputError
from pipeline.predict.scored_seconds import ScoredSecond
from pipeline.tables.label_map import Label


@dataclass(frozen=True)
class Mark:
    """One person at one second."""

    timestamp: float
    time_seconds: float
    box: tuple[float, float, float, float]
    "x1, y1, x2, y2 as fractions of the frame."
    person: int
    actions: tuple[int, ...]
    "Ids of the actions that are shown, ascending; may be empty."


@dataclass(frozen=True)
class MarkedFilm:
    """One film with what was found in it."""

    video_id: str
    file: str
    "The name of the film's file, without folders; readers take the film's id from it."
    frames: int
    size: tuple[int, int]
    "Width and height in pixels, as displayed."
    clock: Clock
    marks: Sequence[Mark]
    "Ascending by time."


@dataclass(frozen=True)
class Classes:
    """The classes as an annotation tool asks for them."""

    labels: Sequence[Label]
    exclusive: Mapping[str, Sequence[Label]] = field(default_factory=dict)
    "Groups of which a person does one thing at a time."

    @property
    def any_of(self) -> list[Label]:
        """Return the classes of which a person may do several."""
        return [label for label in self.labels if label.group not in self.exclusive]


def classes_of(labels: Sequence[Label], exclusive: Iterable[str]) -> Classes:
    """Return the classes, with these groups as exclusive ones.

    Raises:
        InputError: no class is of a group.
    """
    groups = {label.group: [each for each in labels if each.group == label.group] for label in labels}
    for name in exclusive:
        if name not in groups:
            raise InputError(f"--exclusive {name}: expected a group of the classes: {', '.join(groups)}")
    return Classes(labels, {name: groups[name] for name in dict.fromkeys(exclusive)})


def marked_films(
    seconds: Sequence[ScoredSecond],
    thresholds: NDArray[np.float64],
    classes: Classes,
    videos: Sequence[Mapping[str, Any]],
    clocks: Mapping[str, Clock],
) -> list[MarkedFilm]:
    """Return the films that have seconds, in the order of `videos`.

    A class is shown where its score reaches its threshold; of an exclusive group the one that exceeds its threshold
    by the largest factor. Persons without a track id get ids behind those of the film's tracks, one for each box.

    Args:
        seconds: sorted by film and time.
        thresholds: [classes].
        classes: in the order of the scores.
        videos: rows of VIDEOS.
        clocks: by film.

    Raises:
        InputError: a second is of a film that `videos` does not have.
    """
    by_film: dict[str, list[ScoredSecond]] = {}
    for each in seconds:
        by_film.setdefault(each.video_id, []).append(each)
    films = []
    for row in videos:
        if mine := by_film.pop(row["video_id"], []):
            size = (row["width"], row["height"])
            marks = _marks(mine, thresholds, classes)
            name = Path(row["path"]).name
            name = name if Path(name).stem == row["video_id"] else f"{row['video_id']}.mp4"
            films.append(MarkedFilm(row["video_id"], name, row["frames"], size, clocks[row["video_id"]], marks))
    if by_film:
        raise InputError(f"persons.parquet: video {next(iter(by_film))}: videos.parquet does not have it")
    return films


def constant_clock(fps: float) -> Clock:
    """Return the clock of a film without frame times, at the digits that `new-dataset` writes of a rate."""
    return Clock(round(fps, 5))


def first_timestamp(film: MarkedFilm) -> tuple[int, float]:
    """Return `first_timestamp` and `offset_seconds` of a film: its timestamps and times differ by these.

    Raises:
        InputError: they differ by something else at another second.
    """
    shifts = [mark.timestamp - mark.time_seconds for mark in film.marks]
    if max(shifts) - min(shifts) > 1e-3:
        raise InputError(
            f"persons.parquet: video {film.video_id}: timestamps and times differ by {min(shifts):g} to "
            f"{max(shifts):g} s, expected the same in the whole film"
        )
    first = math.ceil(shifts[0] - 1e-6)
    return first, round(first - shifts[0], 6) + 0.0


def _marks(seconds: Sequence[ScoredSecond], thresholds: NDArray[np.float64], classes: Classes) -> list[Mark]:
    known = [track for second in seconds for track in second.tracks if track is not None]
    free = max(known, default=-1) + 1
    marks = []
    for second in seconds:
        for box, track, scores in zip(second.boxes_xyxy.tolist(), second.tracks, second.scores, strict=True):
            if track is None:
                track, free = free, free + 1
            actions = _shown(scores, thresholds, classes)
            marks.append(Mark(second.timestamp, second.time_seconds, tuple(box), track, actions))
    return marks


def _shown(scores: NDArray[np.float64], thresholds: NDArray[np.float64], classes: Classes) -> tuple[int, ...]:
    shown = (scores > 0) & (scores >= thresholds)
    excess = np.where(shown, scores / np.maximum(thresholds, 1e-9), 0.0)
    best = {
        name: max((excess[place], -place) for place, each in enumerate(classes.labels) if each.group == name)
        for name in classes.exclusive
    }
    return tuple(
        sorted(
            label.id
            for place, label in enumerate(classes.labels)
            if shown[place] and (label.group not in best or best[label.group] == (excess[place], -place))
        )
    )

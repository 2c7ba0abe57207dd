"""Persons of a film between its predictions: where a box is at any time, and which actions are shown with it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.predict.predicted import Predicted
from pipeline.tables.schemas import BOX_COLUMNS

DEFAULT_STEP_SECONDS = 1.0
GAP_STEPS = 2.5
"A track moves on between predictions that are at most this many steps apart; across a longer gap it is not shown."

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ShownAction:
    """An action that is shown."""

    id: int
    name: str
    score: float


@dataclass(frozen=True)
class ShownMoment:
    """What was predicted for a person at one time."""

    seconds: float
    box_xyxy: Box
    "Normalised to [0, 1]."
    actions: tuple[ShownAction, ...]
    "Those from their thresholds on, by score, the best first."


@dataclass(frozen=True, eq=False)
class ShownPerson:
    """A person of a film: a track, or a box without one."""

    track_id: int | None
    moments: Sequence[ShownMoment]
    "By time, ascending; never empty."

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """The seconds of the moments."""
        return np.array([each.seconds for each in self.moments])

    def within(self, start: float, end: float) -> Sequence[ShownMoment]:
        """Return the moments from `start` to `end`, both included."""
        first, last = np.searchsorted(self.times, start), np.searchsorted(self.times, end, side="right")
        return self.moments[int(first) : int(last)]


@dataclass(frozen=True)
class Shown:
    """A person at one time of the film."""

    person: ShownPerson
    box_xyxy: Box
    actions: tuple[ShownAction, ...]


@dataclass(frozen=True)
class ShownFilm:
    """The persons of a film."""

    persons: Sequence[ShownPerson]
    step_seconds: float
    "Between two predictions."
    _by_second: dict[int, list[ShownPerson]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        places: dict[int, list[ShownPerson]] = defaultdict(list)
        for person in self.persons:
            for start, end in spans(person.moments, self.step_seconds):
                for second in range(int(start // 1), int(end // 1) + 1):
                    if not places[second] or places[second][-1] is not person:
                        places[second].append(person)
        self._by_second.update(places)

    def at(self, seconds: float) -> list[Shown]:
        """Return who is shown at a time, in the order of `persons`."""
        shown = (_shown(person, seconds, self.step_seconds) for person in self._by_second.get(int(seconds // 1), []))
        return [each for each in shown if each is not None]


def film_scene(predicted: Predicted, video_id: str) -> ShownFilm:
    """Collect the persons of a film: tracks in the order of their ids, then boxes without a track by time."""
    boxes = predicted.persons.filter(pc.equal(predicted.persons["video_id"], video_id))
    boxes = boxes.filter(pc.is_null(boxes["label"])).sort_by([("time_seconds", "ascending")])
    found = predicted.detections.filter(pc.equal(predicted.detections["video_id"], video_id))
    actions = _shown_actions(found, predicted)
    tracks: dict[int, list[ShownMoment]] = defaultdict(list)
    others: list[ShownPerson] = []
    for row in _rows(boxes):
        box = tuple(row[name] for name in BOX_COLUMNS)
        known = sorted(actions.get((row["timestamp"], *box), []), key=lambda each: (-each.score, each.id))
        moment = ShownMoment(row["time_seconds"], box, tuple(known))
        if row["track_id"] is None:
            others.append(ShownPerson(None, [moment]))
        else:
            tracks[row["track_id"]].append(moment)
    persons = [ShownPerson(track, tracks[track]) for track in sorted(tracks)]
    return ShownFilm([*persons, *others], _step(boxes))


def spans(moments: Sequence[ShownMoment], step_seconds: float) -> list[tuple[float, float]]:
    """Return the (start, end) seconds in which a person is shown: half a step around each row of close predictions."""
    found: list[tuple[float, float]] = []
    last = -np.inf
    for moment in moments:
        start, end = moment.seconds - step_seconds / 2, moment.seconds + step_seconds / 2
        if found and moment.seconds - last <= GAP_STEPS * step_seconds:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
        last = moment.seconds
    return found


def _shown(person: ShownPerson, seconds: float, step_seconds: float) -> Shown | None:
    moments = person.moments
    after = int(np.searchsorted(person.times, seconds, side="right"))
    before = moments[after - 1] if after else None
    later = moments[after] if after < len(moments) else None
    if before and later and later.seconds - before.seconds <= GAP_STEPS * step_seconds:
        share = (seconds - before.seconds) / (later.seconds - before.seconds)
        near = before if share < 0.5 else later
        return Shown(person, _between(before.box_xyxy, later.box_xyxy, share), near.actions)
    for near in filter(None, (before, later)):
        if near.seconds - step_seconds / 2 <= seconds < near.seconds + step_seconds / 2:
            return Shown(person, near.box_xyxy, near.actions)
    return None


def _between(one: Box, two: Box, share: float) -> Box:
    x1, y1, x2, y2 = (left + (right - left) * share for left, right in zip(one, two, strict=True))
    return x1, y1, x2, y2


def _shown_actions(found: pa.Table, predicted: Predicted) -> dict[tuple[float, ...], list[ShownAction]]:
    """Return the actions from their thresholds on, by (timestamp, box)."""
    names = {label.id: label.name for label in predicted.labels}
    thresholds = {int(action): score for action, score in predicted.model.get("thresholds", {}).items()}
    actions: dict[tuple[float, ...], list[ShownAction]] = defaultdict(list)
    for row in _rows(found):
        number, score = row["action_id"], row["score"]
        if score >= thresholds.get(number, 0.0):
            key = (row["timestamp"], *(row[name] for name in BOX_COLUMNS))
            actions[key].append(ShownAction(number, names.get(number, str(number)), score))
    return actions


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _step(boxes: pa.Table) -> float:
    """Return the seconds between two predictions: the median over the film."""
    times = np.unique(boxes["time_seconds"].to_numpy())
    return float(np.median(np.diff(times))) if len(times) > 1 else DEFAULT_STEP_SECONDS

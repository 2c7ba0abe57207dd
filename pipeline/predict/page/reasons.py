"""What each person's attention fell on, in the short form in which a page holds it.

A page holds reasons in parts of PERSONS persons each, which it reads only when one of them is asked for:

* `layers`: [block, layer] of each layer.
* `seen`: each thing that was looked at, once: [kind, time or null, track or -1], and its box per mille if it has one.
  A kind is a position in `KINDS`; seconds have three digits.
* `persons`: for each person a list for each layer: [place in `layers`, place in `seen`, weight per mille, and these two
  again for the next largest weight, ...], the SHOWN_ROWS largest, without those below half a per mille.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.predict.attention_table import SEEN_BOX
from pipeline.predict.seen_places import KINDS
from pipeline.tables.iou import box_iou
from pipeline.tables.schemas import BOX_COLUMNS

SHOWN_ROWS = 8
PERSONS = 1024
"Persons in one part: neighbours look at the same things, which each part holds once."
LEAST_IOU = 0.5
"A row of this overlap with a person of the page is that person's."
Person = dict[str, Any]
Seconds = Mapping[float, list[Person]]
Looks = dict[tuple[str, int], list[int]]


def film_reasons(seconds: Seconds, attention: pa.Table) -> list[dict[str, Any]]:
    """Return the parts of a film, and give each person who has reasons its place among all of them, `w`.

    Args:
        seconds: the persons of each time in seconds, with `b` (box) and `k` (track); they are changed.
        attention: ATTENTION of the film, by falling weight within a person and layer.
    """
    things, looks = _Things(seconds, attention), _looks(attention)
    weights = np.rint(1000 * attention["weight"].to_numpy()).astype(int).tolist()
    explained: list[Looks] = []
    for time, persons in seconds.items():
        for person in persons:
            found = looks.get((round(time, 3), _rounded(person["b"])))
            if found:
                person["w"] = len(explained)
                explained.append(found)
    return [
        _part(explained[first : first + PERSONS], things, weights) for first in range(0, len(explained), PERSONS)
    ]  # fmt: skip


def _looks(attention: pa.Table) -> dict[tuple[float, tuple[float, ...]], Looks]:
    """Return the rows of ATTENTION of each person and layer, at most SHOWN_ROWS, by time and box of the person."""
    found: dict[tuple[float, tuple[float, ...]], Looks] = defaultdict(dict)
    names = ("time_seconds", "block", "layer", *BOX_COLUMNS)
    columns = [attention[name].to_pylist() for name in names]
    for row, (time, block, layer, *box) in enumerate(zip(*columns, strict=True)):
        rows = found[round(time, 3), _rounded(box)].setdefault((block, layer), [])
        if len(rows) < SHOWN_ROWS:
            rows.append(row)
    return found


def _part(explained: list[Looks], things: "_Things", weights: list[int]) -> dict[str, Any]:
    layers: dict[tuple[str, int], int] = {}
    seen: dict[tuple[Any, ...], int] = {}
    persons = []
    for looks in explained:
        person = []
        for layer, rows in looks.items():
            look = [layers.setdefault(layer, len(layers))]
            for row in rows:
                if weights[row]:
                    look += [seen.setdefault(things.of_row(row), len(seen)), weights[row]]
            person.append(look)
        persons.append(person)
    return {"layers": [list(each) for each in layers], "seen": [list(each) for each in seen], "persons": persons}


class _Things:
    """What the rows of ATTENTION looked at, and which person of the page it is."""

    def __init__(self, seconds: Seconds, attention: pa.Table) -> None:
        self._seconds = seconds
        self._times = {round(time, 3): time for time in seconds}
        self._kind = {kind: number for number, kind in enumerate(KINDS.tolist())}
        names = ("seen", "seen_time_seconds", *SEEN_BOX)
        self._columns = [attention[name].to_pylist() for name in names]
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def of_row(self, row: int) -> tuple[Any, ...]:
        """Return an entry of `seen`."""
        key = tuple(column[row] for column in self._columns)
        if key not in self._known:
            kind, time, *box = key
            time = None if time is None else round(time, 3)
            track = -1 if kind == "object" or None in box else self._track(time, box)
            edges: Iterator[int] = (round(1000 * edge) for edge in box if edge is not None)
            self._known[key] = (self._kind[kind], time, track, *edges)
        return self._known[key]

    def _track(self, time: float | None, box: list[float]) -> int:
        here = self._seconds.get(self._times.get(-1.0 if time is None else time, -1.0), [])
        if not here:
            return -1
        iou = box_iou(np.array([box]), np.array([person["b"] for person in here]))[0]
        return int(here[int(iou.argmax())]["k"]) if iou.max() >= LEAST_IOU else -1


def _rounded(box: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(edge, 3) for edge in box)

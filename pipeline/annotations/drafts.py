"""Turn rows that a reader collects one by one into the form of AVA's rows, so that they get the same checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.annotations.ava_rows import AvaRows
from pipeline.annotations.notices import Notice
from pipeline.base.problems import Fault
from pipeline.tables.csv_rows import Faults
from pipeline.tables.film_ids import composed
from pipeline.tables.ordering import ranked
from pipeline.tables.timelines import Timeline

NOTHING = (np.nan,) * 4


@dataclass(frozen=True)
class Draft:
    """One label of a box. Without a box it is an empty keyframe; with a fault it is a row that cannot be used."""

    place: str
    "Where it is in its file: `annotation 17`."
    video_id: str
    timestamp: float = np.nan
    box: tuple[float, ...] | None = None
    "x1, y1, x2, y2 as fractions of the frame."
    action: int = 0
    "Action id, from 1."
    person: int | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class DraftsRead:
    """What a reader returns for its files."""

    format: str
    rows: list[AvaRows]
    times: dict[str, Timeline] = field(default_factory=dict)
    "first_timestamp and offset_seconds by video; the split is empty if the source does not give it."
    told: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    sizes: dict[str, set[tuple[float, float]]] = field(default_factory=dict)
    "Width and height in pixels by video, as the file gives them."
    counted: frozenset[str] = frozenset()
    "Videos whose annotations count frames, so that their times depend on the frame rate."
    assumed_fps: dict[str, float] = field(default_factory=dict)
    "Frame rate by video, where no source gives one and a default was assumed."


def draft_rows(file: str, drafts: Sequence[Draft], *, classes: int) -> AvaRows:
    """Return the drafts as columns, checked like AVA's rows.

    Args:
        file: the name of the file, for problems.
        drafts: in the order of the file.
        classes: action ids run from 1 to this.
    """
    faults = Faults(file, lambda i: drafts[i].place, len(drafts))
    faults.add_each(draft.fault for draft in drafts)
    ids = pa.array([composed(draft.video_id) for draft in drafts], pa.string())
    faults.add_video_ids(ids)
    empty = np.array([draft.box is None for draft in drafts], bool)
    timestamp = np.array([draft.timestamp for draft in drafts], np.float64)
    faults.add(~(np.abs(timestamp) < 1e9), lambda i: f"timestamp {timestamp[i]}", "a number of seconds")
    boxes = np.array([draft.box or NOTHING for draft in drafts], np.float64).reshape(-1, 4)
    faults.add_boxes(boxes, None, ~empty)
    action = np.array([np.nan if draft.box is None else draft.action for draft in drafts], np.float64)
    faults.add(
        ~empty & ~((action >= 1) & (action <= classes)),
        lambda i: f"class {action[i]:.0f}",
        f"one of the {classes} classes (dataset.classes)",
        "unknown-action",
    )
    person = np.array([np.nan if draft.person is None else draft.person for draft in drafts], np.float64)
    names, video = ranked(ids)
    lines = np.arange(1, len(drafts) + 1)
    return AvaRows("", faults, lines, names, video, timestamp, boxes, action, person, empty)


def pixel_box(box: Sequence[float], size: tuple[float, float]) -> tuple[float, ...]:
    """Convert x1, y1, x2, y2 from pixels to fractions of the frame; move sides up to a pixel outside to its edge.

    Args:
        box: the sides as continuous coordinates: the whole frame is 0, 0, width, height.
        size: width and height of the frame in pixels.
    """
    sides = (*size, *size)
    inside = [min(max(value, 0.0), side) for value, side in zip(box, sides, strict=True)]
    near = [there if abs(there - value) <= 1 else value for value, there in zip(box, inside, strict=True)]
    return tuple(value / side for value, side in zip(near, sides, strict=True))


def with_empty(drafts: Sequence[Draft], keyframes: Sequence[Draft]) -> list[Draft]:
    """Return the drafts, with those of `keyframes` (empty keyframes) at which no draft stands."""
    taken = {(draft.video_id, draft.timestamp) for draft in drafts}
    unique = {(draft.video_id, draft.timestamp): draft for draft in reversed(keyframes)}
    return [*drafts, *(draft for key, draft in sorted(unique.items()) if key not in taken)]

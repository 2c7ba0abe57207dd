"""Hold the boxes of one file, of persons and of objects, in one form, whatever its format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.base.problems import Fault, Problem
from pipeline.tables.csv_rows import TOLERANCE, Faults, Floats, Mask

NO_BOX = (np.nan,) * 4
NOT_ANNOTATED = "a video without annotations"
"Whose the boxes are that belong to no known film."
SCORE_EXPECTED = "a number from 0 to 1"


@dataclass(frozen=True)
class BoxRows:
    """The n rows of one file: a box, or a keyframe without a box. Rows marked in `faults.bad` are left out."""

    format: str
    faults: Faults
    video_ids: pa.StringArray
    timestamp: Floats
    boxes_xyxy: Floats
    score: Floats
    empty: Mask
    "Rows that name a keyframe without a box."
    key_problems: list[Problem] = field(default_factory=list)
    "Problems of keys with no readable row."
    key_rows: int = 0
    "Number of boxes under those keys; a key counts as at least one."
    not_persons: int = 0
    "Number of boxes of other classes than person; they are not rows."
    classes: str = ""
    "If no box is a person: the class that was looked for, and the classes that were found."
    without_score: int = 0
    "Number of boxes without a score in the file; their score is 1."
    note: str = ""
    "What the user should know about how the file was read."
    labels: pa.StringArray | None = None
    "The class of each object, null for persons; None: all boxes are of persons, or nothing says what they are of."

    def __len__(self) -> int:
        return len(self.timestamp)


class BoxDraft(NamedTuple):
    """A row as a reader finds it: a box in pixels of a frame, or, without a box, a keyframe that shows nobody."""

    place: str
    "Where it is in its file: `box 17`."
    video_id: str = ""
    timestamp: float = np.nan
    box: tuple[float, ...] = NO_BOX
    "x1, y1, x2, y2 as continuous coordinates: the whole frame is 0, 0, width, height."
    size: tuple[float, float] = (1.0, 1.0)
    "Width and height of the frame in pixels."
    score: float = np.nan
    empty: bool = False
    fault: Fault | None = None
    label: str | None = None
    "The class of an object; None for a person."


def draft_box_rows(
    file: str, kind: str, drafts: Sequence[BoxDraft], *, not_persons: int = 0, note: str = ""
) -> BoxRows:
    """Return the drafts as columns, checked like the rows of every format.

    Sides up to a pixel outside the frame are moved to its edge.

    Args:
        file: the name of the file, for problems.
        kind: the format.
        drafts: in the order of the file.
        not_persons: see `BoxRows`.
        note: see `BoxRows`.
    """
    faults = Faults(file, lambda i: drafts[i].place, len(drafts))
    faults.add_each(draft.fault for draft in drafts)
    video_ids = pa.array([draft.video_id for draft in drafts], pa.string())
    faults.add_video_ids(video_ids)
    timestamp = np.array([draft.timestamp for draft in drafts], np.float64)
    faults.add(~(np.abs(timestamp) < 1e9), lambda i: f"timestamp {timestamp[i]}", "a number of seconds")
    empty = np.array([draft.empty for draft in drafts], bool)
    pixels = np.array([draft.box for draft in drafts], np.float64).reshape(-1, 4)
    sides = np.tile(np.array([draft.size for draft in drafts], np.float64).reshape(-1, 2), 2)
    inside = np.clip(pixels, 0, sides)
    boxes = np.where(np.abs(inside - pixels) <= 1, inside, pixels) / sides
    outside = ~empty & ((boxes < -TOLERANCE) | (boxes > 1 + TOLERANCE)).any(axis=1)

    def as_box(i: int) -> str:
        return _shown(pixels[i], sides[i])

    faults.add(outside, as_box, "a box in pixels inside the frame", "box-outside")
    faults.add_flat(boxes, as_box, "a width and a height above 0", ~empty)
    faults.add_boxes(boxes, None, ~empty)
    score = np.array([draft.score for draft in drafts], np.float64)
    add_scores(faults, score, lambda i: str(score[i]), ~empty)
    labels = pa.array([draft.label for draft in drafts], pa.string())
    return BoxRows(
        kind, faults, video_ids, timestamp, boxes, score, empty,
        not_persons=not_persons, note=note, labels=labels if labels.null_count < len(labels) else None,
    )  # fmt: skip


def add_scores(
    faults: Faults, score: Floats, text: Callable[[int], str], rows: Mask, expected: str = SCORE_EXPECTED
) -> None:
    """Note a fault for each score [n] in `rows` that is not in 0 to 1; `text(i)` shows the score of row i."""
    inside = (score >= -TOLERANCE) & (score <= 1 + TOLERANCE)  # false for NaN
    faults.add(rows & ~inside, lambda i: f"score {text(i)}", expected)


def _shown(pixels: Floats, sides: Floats) -> str:
    corners = " ".join(f"{value:.10g}" for value in pixels)
    return f"box {corners} (left, top, right, bottom) in a frame of {sides[0]:g} x {sides[1]:g}"

"""The two formats of person boxes, read into one form: AVA's proposals pickle and AVA CSV with scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.csv_rows import (
    TOLERANCE,
    VIDEO_ID_EXPECTED,
    Faults,
    Floats,
    Mask,
    numbers,
    read_rows,
    shown,
    video_id_fault,
)
from pipeline.errors import InputError
from pipeline.interop.pickles import load_pickle
from pipeline.problems import Problem

PROPOSALS_PICKLE = "ava_proposals_pickle"
SCORED_CSV = "ava_csv_with_scores"
LAYOUT = "a dict 'video_id,timestamp' -> array (N, 5) of x1, y1, x2, y2, score, or (N, 4)"


@dataclass(frozen=True)
class BoxRows:
    """The n rows of one file: a box, or a keyframe without a box; those in `faults.bad` are left out."""

    format: str
    faults: Faults
    key_problems: list[Problem]
    "Of keys that hold no row that could be read."
    video_ids: pa.StringArray
    timestamp: Floats
    boxes_xyxy: Floats
    score: Floats
    empty: Mask
    "Rows that name a keyframe without a box."

    def __len__(self) -> int:
        return len(self.timestamp)


def read_proposals_pickle(path: Path) -> BoxRows:
    """Read the proposals of the AVA challenge and of MMAction2: a dict 'video_id,SSSS' -> (N, 5) or (N, 4).

    Boxes without a score column get score 1. A float32 array keeps its values exactly.

    Raises:
        InputError: the pickle is refused or damaged, or is no such dict.
    """
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected {LAYOUT}")
    keys = [key if isinstance(key, str) else f"of type {type(key).__name__}" for key in content]
    parts = [key.rpartition(",") for key in keys]
    stamps = numbers(pa.array([stamp.strip() for _, _, stamp in parts], pa.large_string()))
    known_faults = {video_id: video_id_fault(video_id) for video_id in {video_id for video_id, _, _ in parts}}
    problems: list[Problem] = []
    good: list[int] = []
    arrays: list[Floats] = []
    rows, size = 0, path.stat().st_size
    for index, value in enumerate(content.values()):
        item = f"key {shown(keys[index])}"
        array, fault = _rows_of(value)
        if not abs(stamps[index]) < 1e9:
            problems.append(Problem(path.name, item, "no number after the last comma", "'video_id,timestamp'"))
        elif known_faults[parts[index][0]]:
            problems.append(Problem(path.name, item, known_faults[parts[index][0]], VIDEO_ID_EXPECTED))
        elif fault:
            problems.append(Problem(path.name, item, fault, "an array (N, 5) or (N, 4)"))
        else:
            good.append(index)
            arrays.append(array)
        rows += len(array)
        if rows > size:  # one array under many keys
            raise InputError(f"{path}: holds more boxes than {size} bytes can: arrays are repeated")
    counts = np.array([len(array) for array in arrays], np.int64)
    # A keyframe without a box is one row of its own.
    owner = np.repeat(np.array(good, np.int64), np.maximum(counts, 1))
    empty = np.repeat(counts == 0, np.maximum(counts, 1))
    values = np.full((len(owner), 5), np.nan)
    values[~empty] = np.concatenate([np.empty((0, 5)), *arrays])
    first_row = {key: row for row, key in reversed(list(enumerate(owner.tolist())))}

    def where(row: int) -> str:
        key = int(owner[row])
        return f"key {shown(keys[key])}" + ("" if empty[row] else f", box {row - first_row[key] + 1}")

    faults = Faults(path.name, where, len(owner))
    faults.add_boxes(values[:, :4], None, ~empty)
    _add_scores(faults, values[:, 4], None, ~empty)
    return BoxRows(
        format=PROPOSALS_PICKLE,
        faults=faults,
        key_problems=problems,
        video_ids=pa.array([video_id for video_id, _, _ in parts], pa.string()).take(pa.array(owner)),
        timestamp=stamps[owner],
        boxes_xyxy=values[:, :4],
        score=values[:, 4],
        empty=empty,
    )


def read_scored_csv(path: Path) -> BoxRows:
    """Read `video_id,timestamp,x1,y1,x2,y2,action_id,score`; the action id is not used and may be empty.

    A two-column row, or one whose other columns are empty, names a keyframe without a box.

    Raises:
        InputError: the file cannot be read as text.
    """
    rows = read_rows(path)
    faults = Faults(path.name, lambda i: f"row {rows.lines[i]}", len(rows))
    faults.add(~np.isin(rows.widths, (2, 8)), lambda i: f"column count {rows.widths[i]}", "2 or 8")
    video_ids, stamps = rows.column(0), rows.column(1)
    faults.add_video_ids(video_ids)
    timestamp = numbers(stamps)
    in_range = np.abs(timestamp) < 1e9  # NaN is not
    faults.add(~in_range, lambda i: f"timestamp {shown(stamps[i].as_py())}", "a number of seconds")
    fields = [rows.column(index) for index in range(2, 8)]
    empty = np.logical_and.reduce([pc.equal(each, "").to_numpy(zero_copy_only=False) for each in fields])
    boxes = np.stack([numbers(each) for each in fields[:4]], axis=1)
    faults.add_boxes(boxes, fields[:4], ~empty)
    score = numbers(fields[5])
    _add_scores(faults, score, fields[5], ~empty)
    return BoxRows(
        format=SCORED_CSV,
        faults=faults,
        key_problems=[],
        video_ids=video_ids.cast(pa.string()),
        timestamp=timestamp,
        boxes_xyxy=boxes,
        score=score,
        empty=empty,
    )


def _rows_of(value: Any) -> tuple[Floats, str]:
    """The boxes of a key as (N, 5), and what is wrong with them."""
    nothing = np.empty((0, 5))
    if not isinstance(value, np.ndarray | list):
        return nothing, f"a {type(value).__name__}"
    try:
        array = np.asarray(value)
    except ValueError:
        return nothing, "rows of different lengths"
    if array.dtype.kind not in "iuf":
        return nothing, f"values of type {array.dtype}"
    if array.shape == (0,):
        return nothing, ""
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        return nothing, f"an array of shape {array.shape}"
    array = array.astype(np.float64)
    return (array if array.shape[1] == 5 else np.column_stack([array, np.ones(len(array))])), ""


def _add_scores(faults: Faults, score: Floats, texts: pa.Array | None, rows: Mask) -> None:
    inside = (score >= -TOLERANCE) & (score <= 1 + TOLERANCE)  # NaN is not
    faults.add(
        rows & ~inside,
        lambda i: f"score {shown(texts[i].as_py()) if texts is not None else score[i]}",
        "a number from 0 to 1 (in an annotation file this column is the person id)",
    )

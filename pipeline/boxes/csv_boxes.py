"""Person boxes in AVA's columns: with scores, as PySlowFast has them, and plain annotations as boxes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.boxes.rows import BoxRows, add_scores
from pipeline.datasets.csv_rows import Faults, Mask, numbers, read_rows, shown

SCORED_CSV = "ava_csv_with_scores"
PYSLOWFAST_CSV = "pyslowfast_csv"
TRUTH_CSV = "ava_csv_annotations"
WHOLE = r"^[0-9]+$"


def read_csv(path: Path) -> BoxRows:
    """Read `video_id,timestamp,x1,y1,x2,y2[,action_id[,score or person_id]]`; the action id is not used.

    Which of three it is, the rows say: where most boxes have an action id, and behind it a whole number or nothing,
    the file holds annotations, with person ids, and every box gets score 1. Otherwise the eighth column is a score;
    where no row has an action id, the file is as PySlowFast has predicted boxes. A two-column row, or one whose other
    columns are empty, names a keyframe without a box.

    Raises:
        InputError: the file cannot be read as text.
    """
    rows = read_rows(path)
    video_ids, stamps = rows.column(0), rows.column(1)
    fields = [rows.column(index) for index in range(2, 8)]
    empty = np.logical_and.reduce([_is(each, "") for each in fields])
    labelled = ~empty & ~_is(fields[4], "")
    person = _is(fields[5], "") | pc.match_substring_regex(fields[5], WHOLE).to_numpy(zero_copy_only=False)
    is_truth = bool((labelled & person).sum() * 2 > max((~empty).sum(), 1))
    faults = Faults(path.name, lambda i: f"row {rows.lines[i]}", len(rows))
    widths = (2, 7, 8) if is_truth else (2, 8)
    expected = "2, 7 or 8" if is_truth else "2 or 8 (score is the eighth)"
    faults.add(~np.isin(rows.widths, widths), lambda i: f"column count {rows.widths[i]}", expected)
    faults.add_video_ids(video_ids)
    timestamp = numbers(stamps)
    in_range = np.abs(timestamp) < 1e9  # NaN is not
    faults.add(~in_range, lambda i: f"timestamp {shown(stamps[i].as_py())}", "a number of seconds")
    boxes = np.stack([numbers(each) for each in fields[:4]], axis=1)
    faults.add_boxes(boxes, fields[:4], ~empty)
    if is_truth:
        score = np.where(empty, np.nan, 1.0)
        faults.add(~empty & ~person, lambda i: f"person id {shown(fields[5][i].as_py())}", "a whole number or nothing")
    else:
        score = numbers(fields[5])
        add_scores(faults, score, lambda i: shown(fields[5][i].as_py()), ~empty)
    return BoxRows(
        format=TRUTH_CSV if is_truth else SCORED_CSV if labelled.any() else PYSLOWFAST_CSV,
        faults=faults,
        video_ids=video_ids.cast(pa.string()),
        timestamp=timestamp,
        boxes_xyxy=boxes,
        score=score,
        empty=empty,
        note="these are annotations, taken as boxes of score 1" if is_truth else "",
    )


def _is(column: pa.Array, text: str) -> Mask:
    found: Mask = pc.equal(column, text).to_numpy(zero_copy_only=False)
    return found

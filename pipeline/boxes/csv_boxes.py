"""Read boxes from CSV with AVA's columns, with or without scores: those of persons, or of objects with labels."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.ava_columns import columns_of, read_ava_csv
from pipeline.boxes.box_rows import BoxRows, add_scores
from pipeline.tables.csv_rows import Faults, Mask, numbers, shown

SCORED_CSV = "ava_csv_with_scores"
PYSLOWFAST_CSV = "pyslowfast_csv"
SEVENTH_CSV = "csv_with_scores"
PLAIN_CSV = "csv_without_scores"
LABELLED_CSV = "csv_with_labels"
EXPECTED = {6: "2 or 6", 7: "2 or 7 (score is the seventh)", 8: "2 or 8 (score is the eighth)"}


def read_csv(path: Path, *, objects: bool = False) -> BoxRows:
    """Read `video_id,timestamp,x1,y1,x2,y2[[,action_id],score]`; the action id is not used.

    With `objects`, a row of eight fields has the class of an object in place of the action id.

    The form of most rows decides how the file is read; without a score all boxes get score 1. If no row of eight
    fields has an action id, the file has PySlowFast's format of predicted boxes. A row with only the first two columns
    filled names a keyframe without a box.

    Raises:
        InputError: the file cannot be read as text, or its first row names the columns in another order.
    """
    rows = read_ava_csv(path)
    columns = columns_of(rows)
    video_ids, stamps = rows.column(0), rows.column(1)
    fields = [rows.column(index) for index in range(2, 8)]
    empty = np.logical_and.reduce([_is(each, "") for each in fields])
    faults = Faults(path.name, lambda i: f"row {rows.lines[i]}", len(rows))
    faults.add(~np.isin(rows.widths, (2, columns.width)), lambda i: f"column count {rows.widths[i]}",
               EXPECTED[columns.width])  # fmt: skip
    faults.add_video_ids(video_ids)
    timestamp = numbers(stamps)
    in_range = np.abs(timestamp) < 1e9  # false for NaN
    faults.add(~in_range, lambda i: f"timestamp {shown(stamps[i].as_py())}", "a number of seconds")
    boxes = np.stack([numbers(each) for each in fields[:4]], axis=1)
    faults.add_boxes(boxes, fields[:4], ~empty)
    note, without_score = "", 0
    if columns.width == 6:
        score = np.where(empty, np.nan, 1.0)
        without_score = int((~empty & (rows.widths == 6)).sum())
        note = f"{without_score} boxes have no score column: their score is 1"
    else:
        texts = fields[columns.width - 3]
        score = numbers(texts)
        add_scores(faults, score, lambda i: shown(texts[i].as_py()), ~empty)
    labels = None
    if objects and columns.width == 8:
        classes = fields[4]
        persons = _is(pc.utf8_lower(classes), "person")
        faults.add(persons, lambda i: f"label {shown(classes[i].as_py())}", "an object; persons lie elsewhere")
        labels = pc.if_else(pc.equal(classes, ""), None, classes.cast(pa.string()))
    with_actions = LABELLED_CSV if objects else SCORED_CSV if (~empty & ~_is(fields[4], "")).any() else PYSLOWFAST_CSV
    return BoxRows(
        format={6: PLAIN_CSV, 7: SEVENTH_CSV, 8: with_actions}[columns.width],
        faults=faults,
        video_ids=video_ids.cast(pa.string()),
        timestamp=timestamp,
        boxes_xyxy=boxes,
        score=score,
        empty=empty,
        without_score=without_score,
        note=note,
        labels=labels,
    )


def _is(column: pa.Array, text: str) -> Mask:
    found: Mask = pc.equal(column, text).to_numpy(zero_copy_only=False)
    return found

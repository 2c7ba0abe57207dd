"""Annotations in AVA's formats: every row becomes a row of a table, or a problem with its row number.

The folder's layout is described in docs/data-layout.md. Rows of AVA CSV have no header:
`video_id,timestamp,x1,y1,x2,y2,action_id[,person_id]` labels a box, `video_id,timestamp` says that the
keyframe was annotated and shows nobody.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.ava_rows import (
    ANNOTATION_WIDTHS,
    EXCLUDED_WIDTHS,
    AvaRows,
    note_early,
    note_foreign_videos,
    note_repeats,
    read_ava_rows,
)
from pipeline.datasets.csv_rows import Ints
from pipeline.datasets.ordering import group_starts, ranked, sort_table
from pipeline.datasets.timelines import SPLITS, Timeline, assign_timelines, read_timelines, timelines_table
from pipeline.errors import InputError
from pipeline.labels import Label, read_label_map
from pipeline.problems import Problem
from pipeline.tables import ANNOTATIONS, BOX_COLUMNS, KEYFRAMES


@dataclass(frozen=True)
class AvaImport:
    """What a folder of AVA files holds."""

    annotations: pa.Table
    keyframes: pa.Table
    timelines: pa.Table
    labels: list[Label]
    problems: list[Problem]
    rows: int
    "Rows that were read, good and bad."
    summary: dict[str, Any]


def import_ava(folder: Path, *, classes: int) -> AvaImport:
    """Read a folder of annotations in AVA's formats.

    Rows of excluded keyframes stay in ANNOTATIONS; KEYFRAMES marks the keyframe, and whoever reads the rows
    leaves it out. A keyframe all of whose rows are bad is in neither table. Rows of classes that the label
    map does not list are kept (AVA trains 80 classes and evaluates 60).

    Args:
        folder: holds `labelmap.pbtxt`, any of `train.csv`, `val.csv` and `test.csv`, and optionally
            `excluded_<split>.csv` and `videos.csv`.
        classes: action ids run from 1 to this.

    Raises:
        InputError: a file is missing or unreadable, a video is in two splits, or `videos.csv` is wrong.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of annotations")
    labels = _read_labels(folder / "labelmap.pbtxt", classes)
    annotated = _read_splits(folder, "{}.csv", classes, ANNOTATION_WIDTHS)
    excluded = _read_splits(folder, "excluded_{}.csv", classes, EXCLUDED_WIDTHS)
    listed = read_timelines(folder / "videos.csv") if (folder / "videos.csv").exists() else None
    if not annotated and listed is None:
        found = ", ".join(sorted(path.name for path in folder.glob("*.csv"))) or "no CSV file"
        raise InputError(f"{folder}: found {found}, expected train.csv, val.csv, test.csv or videos.csv")
    timelines = assign_timelines(folder, {rows.split: rows.named_videos() for rows in annotated}, listed)
    for rows in excluded:
        if listed is None:
            timelines = {video_id: Timeline(rows.split) for video_id in rows.named_videos()} | timelines
        note_foreign_videos(rows, timelines)
    if not timelines:
        first = next((problem for rows in annotated for problem in rows.faults.problems()), "there are none")
        raise InputError(f"{folder}: no row of the CSV files can be used: {first}")
    for rows in [*annotated, *excluded]:
        note_early(rows, timelines)
        note_repeats(rows)
    problems = [problem for rows in [*annotated, *excluded] for problem in rows.faults.problems()]
    ids = {label.id for label in labels}
    annotations = _annotations(annotated, timelines)
    keyframes = _keyframes(annotated, excluded, timelines)
    total = sum(len(rows.lines) for rows in [*annotated, *excluded])
    return AvaImport(
        annotations=annotations,
        keyframes=keyframes,
        timelines=timelines_table(timelines),
        labels=labels,
        problems=problems,
        rows=total,
        summary={
            "rows": total,
            "bad_rows": len(problems),
            "bad_rows_by_expectation": dict(Counter(problem.expected for problem in problems)),
            "splits": {
                split: _split_summary(split, annotations, keyframes, timelines, ids)
                for split in SPLITS
                if any(timeline.split == split for timeline in timelines.values())
            },
        },
    )


def _read_labels(path: Path, classes: int) -> list[Label]:
    labels = read_label_map(path)
    largest = max(label.id for label in labels)
    if largest > classes:
        raise InputError(f"{path}: class ids go to {largest}, expected 1 to {classes} (dataset.classes)")
    return labels


def _read_splits(folder: Path, pattern: str, classes: int, widths: tuple[int, ...]) -> list[AvaRows]:
    paths = [(split, folder / pattern.format(split)) for split in SPLITS]
    return [read_ava_rows(path, split=split, classes=classes, widths=widths) for split, path in paths if path.exists()]


def _keys(rows: AvaRows, kept: Ints, timelines: dict[str, Timeline]) -> dict[str, pa.Array]:
    return {
        "video_id": pa.array(rows.video_ids, pa.string()).take(pa.array(rows.video[kept])),
        "timestamp": pa.array(rows.timestamp[kept]),
        "time_seconds": pa.array(rows.time_seconds(timelines)[kept]),
    }


def _annotations(files: Iterable[AvaRows], timelines: dict[str, Timeline]) -> pa.Table:
    """The ANNOTATIONS table, sorted by (video_id, timestamp, box, action_id)."""
    tables = []
    for rows in files:
        good = rows.good()
        kept = good[~rows.empty[good]]
        boxes = {name: pa.array(rows.boxes_xyxy[kept, place]) for place, name in enumerate(BOX_COLUMNS)}
        person = rows.person[kept]
        labels = {
            "action_id": pa.array(rows.action[kept].astype(np.int32)),
            "person_id": pa.array(np.nan_to_num(person).astype(np.int32), mask=np.isnan(person)),
        }
        tables.append(pa.table(_keys(rows, kept, timelines) | boxes | labels, ANNOTATIONS))
    table = pa.concat_tables([ANNOTATIONS.empty_table(), *tables])
    return sort_table(table, ["video_id", "timestamp", *BOX_COLUMNS, "action_id"])


def _keyframes(annotated: list[AvaRows], excluded: list[AvaRows], timelines: dict[str, Timeline]) -> pa.Table:
    """The KEYFRAMES table, sorted by (video_id, timestamp); excluded goes before annotated and empty."""
    tables = []
    for is_excluded, files in ((True, excluded), (False, annotated)):
        for rows in files:
            kept = rows.good()
            status = np.where(rows.empty[kept], "excluded" if is_excluded else "empty", "annotated")
            columns = {"split": pa.repeat(rows.split, len(kept)), "status": pa.array(status, pa.string())}
            tables.append(pa.table(_keys(rows, kept, timelines) | columns, KEYFRAMES))
    # The sort is stable, so of the rows of one keyframe the excluded one comes first; by now no keyframe is
    # both empty and annotated.
    table = sort_table(pa.concat_tables([KEYFRAMES.empty_table(), *tables]), ["video_id", "timestamp"])
    starts = group_starts([ranked(table["video_id"])[1], table["timestamp"].to_numpy()])
    return table.filter(pa.array(starts)).combine_chunks()


def _split_summary(
    split: str, annotations: pa.Table, keyframes: pa.Table, timelines: dict[str, Timeline], ids: set[int]
) -> dict[str, Any]:
    videos = [video_id for video_id, timeline in timelines.items() if timeline.split == split]
    rows = annotations.filter(pc.is_in(annotations["video_id"], pa.array(videos, pa.string())))
    statuses = Counter(keyframes.filter(pc.equal(keyframes["split"], split))["status"].to_pylist())
    box_keys = [ranked(rows["video_id"])[1], *(rows[name].to_numpy() for name in ("timestamp", *BOX_COLUMNS))]
    per_class = Counter(rows["action_id"].to_pylist())
    return {
        "videos": len(videos),
        "keyframes": {status: statuses[status] for status in ("annotated", "empty", "excluded")},
        "boxes": int(group_starts(box_keys).sum()),
        "labels": rows.num_rows,
        "labels_of_classes_not_in_the_label_map": sum(n for i, n in per_class.items() if i not in ids),
        "labels_per_class": {str(i): per_class[i] for i in sorted(ids | set(per_class))},
    }

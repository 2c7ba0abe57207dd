"""Check the rows of any source and make the tables that the other stages read, with counts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.ava_rows import AvaRows, OtherIds, note_early, note_repeats
from pipeline.annotations.notices import Notice
from pipeline.base.problems import Problem
from pipeline.tables.csv_rows import Ints
from pipeline.tables.label_map import Label
from pipeline.tables.ordering import group_starts, ranked, sort_table
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, KEYFRAMES
from pipeline.tables.timelines import SPLITS, Timeline, timelines_table

ROW_ORDER = ["video_id", "timestamp", *BOX_COLUMNS, "action_id"]


@dataclass(frozen=True)
class AvaImport:
    """The annotations of a folder as tables."""

    annotations: pa.Table
    keyframes: pa.Table
    timelines: pa.Table
    labels: list[Label]
    problems: list[Problem]
    rows: int
    "Number of rows read, good and bad."
    summary: dict[str, Any]
    told: list[str] = field(default_factory=list)
    "Lines to print for the user: which files were recognised, and what was decided."
    told_of_splits: Sequence[str] = ()
    "The lines of `told` that say how films were assigned to splits."
    assumed_fps: dict[str, float] = field(default_factory=dict)
    "Frame rate by video, where no source gives one and a default was assumed."
    unread: Sequence[tuple[Path, str]] = ()
    "Files of the folder that are not read, and why."
    missing: list[Problem] = field(default_factory=list)
    "What the source names but the user did not provide (clips of AVA-Kinetics). It is listed, and is no fault."
    notices: list[Notice] = field(default_factory=list)
    "Content that was seen but gives no row."
    sizes: dict[str, set[tuple[float, float]]] = field(default_factory=dict)
    "Width and height in pixels by video, as the annotations give them."
    counted: frozenset[str] = frozenset()
    "Videos whose times come from frame numbers."
    untold: frozenset[str] = frozenset()
    "Videos that no source assigns to a split."
    other_ids: Mapping[str, OtherIds] = field(default_factory=dict)
    "By file of AVA rows: the action ids that are not in the label map, if there are any."


def assemble(
    annotated: list[AvaRows], excluded: list[AvaRows], timelines: dict[str, Timeline], labels: list[Label]
) -> AvaImport:
    """Check the rows against their films and each other, and make the tables.

    Rows of excluded keyframes stay in ANNOTATIONS; KEYFRAMES marks the keyframe as excluded, and readers skip it.
    A keyframe whose rows are all bad is in neither table. Rows of classes that `labels` does not list are kept.

    Args:
        annotated: rows of boxes and of empty keyframes, whose videos all have a timeline.
        excluded: rows of excluded keyframes.
        timelines: of every video.
        labels: the classes.
    """
    for rows in [*annotated, *excluded]:
        note_early(rows, timelines)
        note_repeats(rows)
    problems = [problem for rows in [*annotated, *excluded] for problem in rows.faults.problems()]
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
        other_ids={rows.faults.file: rows.other_ids for rows in annotated if rows.other_ids},
        summary={
            "rows": total,
            "bad_rows": len(problems),
            "bad_rows_by_expectation": dict(Counter(problem.expected for problem in problems)),
            "splits": split_summaries(annotations, keyframes, timelines, labels),
        },
    )


def _keys(rows: AvaRows, kept: Ints, timelines: dict[str, Timeline]) -> dict[str, pa.Array]:
    return {
        "video_id": pa.array(rows.video_ids, pa.string()).take(pa.array(rows.video[kept])),
        "timestamp": pa.array(rows.timestamp[kept]),
        "time_seconds": pa.array(rows.time_seconds(timelines)[kept]),
    }


def _annotations(files: Iterable[AvaRows], timelines: dict[str, Timeline]) -> pa.Table:
    """Return the ANNOTATIONS table, sorted by (video_id, timestamp, box, action_id)."""
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
    return sort_table(table, ROW_ORDER)


def _keyframes(annotated: list[AvaRows], excluded: list[AvaRows], timelines: dict[str, Timeline]) -> pa.Table:
    """Return the KEYFRAMES table, sorted by (video_id, timestamp). Excluded wins over annotated and empty."""
    tables = []
    for is_excluded, files in ((True, excluded), (False, annotated)):
        for rows in files:
            kept = rows.good()
            status = np.where(rows.empty[kept], "excluded" if is_excluded else "empty", "annotated")
            splits = np.array([timelines[each].split if each in timelines else "" for each in rows.video_ids], object)
            columns = {
                "split": pa.array(splits[rows.video[kept]], pa.string()),
                "status": pa.array(status, pa.string()),
            }
            tables.append(pa.table(_keys(rows, kept, timelines) | columns, KEYFRAMES))
    # The sort is stable, so the excluded row of a keyframe comes first. No keyframe is both empty and annotated here:
    # that was checked before.
    table = sort_table(pa.concat_tables([KEYFRAMES.empty_table(), *tables]), ["video_id", "timestamp"])
    starts = group_starts([ranked(table["video_id"])[1], table["timestamp"].to_numpy()])
    return table.filter(pa.array(starts)).combine_chunks()


def split_summaries(
    annotations: pa.Table, keyframes: pa.Table, timelines: dict[str, Timeline], labels: Iterable[Label]
) -> dict[str, Any]:
    """Return the counts of every split that has a video."""
    ids = {label.id for label in labels}
    return {
        split: _split_summary(split, annotations, keyframes, timelines, ids)
        for split in SPLITS
        if any(split in timeline.split.split("+") for timeline in timelines.values())
    }


def _split_summary(
    split: str, annotations: pa.Table, keyframes: pa.Table, timelines: dict[str, Timeline], ids: set[int]
) -> dict[str, Any]:
    videos = [video_id for video_id, timeline in timelines.items() if split in timeline.split.split("+")]
    rows = annotations.filter(pc.is_in(annotations["video_id"], pa.array(videos, pa.string())))
    if any(timelines[video_id].split != split for video_id in videos):  # only the film's keyframes of this split
        mine = keyframes.filter(pc.equal(keyframes["split"], split)).select(["video_id", "timestamp"])
        rows = sort_table(rows.join(mine, ["video_id", "timestamp"], join_type="left semi"), ROW_ORDER)
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

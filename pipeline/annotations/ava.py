"""Read annotations in AVA's formats: each row becomes a row of a table, or a problem with its row number.

The folder's layout is described in docs/data-layout.md. Rows of AVA CSV have no header:
`video_id,timestamp,x1,y1,x2,y2,action_id[,person_id]` labels a box, `video_id,timestamp` says that the
keyframe was annotated and shows nobody.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.annotations.assemble import AvaImport, assemble
from pipeline.annotations.ava_rows import (
    ANNOTATION_WIDTHS,
    EXCLUDED_WIDTHS,
    AvaRows,
    note_foreign_videos,
    read_ava_rows,
    renamed,
)
from pipeline.annotations.class_ids import check_count, find_label_map, read_shifted_label_map
from pipeline.annotations.kinetics import KineticsClips, rows_of_clips
from pipeline.annotations.listed import read_listed
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.tables.csv_rows import read_rows
from pipeline.tables.label_map import Label
from pipeline.tables.timelines import (
    AVA_FIRST_TIMESTAMP,
    HEADER,
    SPLITS,
    Timeline,
    assign_timelines,
    read_timelines,
    split_in,
)

__all__ = ["AvaImport", "annotation_files", "excluded_files", "import_ava"]

PUBLISHED = re.compile(r"ava_(train|val|test)_v2\.\d\.csv")
PUBLISHED_EXCLUDED = re.compile(r"ava_(train|val|test)_excluded_timestamps_v2\.\d\.csv")
EXCLUDED = re.compile(r".*excluded.*\.csv", re.IGNORECASE)


def import_ava(
    folder: Path,
    *,
    classes: int,
    first_id: int = 1,
    kinetics: KineticsClips | None = None,
) -> AvaImport:
    """Read a folder of annotations in AVA's formats.

    Rows of excluded keyframes stay in ANNOTATIONS; KEYFRAMES marks the keyframe as excluded, and readers skip it.
    A keyframe whose rows are all bad is in neither table. Rows of classes that the label map does not list are
    kept (AVA trains 80 classes and evaluates 60).

    Args:
        folder: holds a label map (`find_label_map`), any of `train.csv`, `val.csv` and `test.csv`, and optionally
            `excluded_<split>.csv` and `videos.csv`; or AVA's files by their published names.
        classes: action ids run from 1 to this.
        first_id: the first action id of the rows, 0 or 1.
        kinetics: AVA-Kinetics' rows and clips, which join those of AVA.

    Raises:
        InputError: a file is missing or unreadable, a video is in two splits, or `videos.csv` is wrong.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of annotations")
    labels = _read_labels(find_label_map(folder), classes)
    paths = annotation_files(folder)
    if kinetics is not None:
        paths = {split: path for split, path in paths.items() if split in kinetics.ava_splits}
    annotated = [
        renamed(path, read_ava_rows(path, split=split, classes=classes, widths=ANNOTATION_WIDTHS, first_id=first_id))
        for split, path in paths.items()
    ]
    excluded = [
        renamed(path, read_ava_rows(path, split=split, classes=classes, widths=EXCLUDED_WIDTHS))
        for split, path in excluded_files(folder).items()
        if kinetics is None or split in kinetics.ava_splits
    ]
    listed = _read_videos(folder) if (folder / "videos.csv").exists() else None
    if not annotated and listed is None and kinetics is None:
        found = ", ".join(sorted(path.name for path in folder.glob("*.csv"))) or "no CSV file"
        raise InputError(f"{folder}: found {found}, expected train.csv, val.csv, test.csv or videos.csv")
    timelines = assign_timelines(
        folder,
        {rows.split: rows.named_videos() for rows in annotated},
        listed,
        files={split: path.name for split, path in paths.items()},
    )
    timelines = _with_excluded(timelines, excluded, is_listed=listed is not None)
    told: list[str] = []
    missing: list[Problem] = []
    if kinetics is not None:
        of_clips, clip_timelines, missing, told = rows_of_clips(kinetics, classes=classes, first_id=first_id)
        annotated += of_clips
        timelines = clip_timelines | timelines
    if not timelines:
        raise InputError(f"{folder}: no row of the CSV files can be used: {_first_problem(annotated, missing)}")
    return replace(assemble(annotated, excluded, timelines, labels), told=told, missing=missing)


def _with_excluded(timelines: dict[str, Timeline], excluded: list[AvaRows], *, is_listed: bool) -> dict[str, Timeline]:
    """Return the videos with a split, which may come from excluded keyframes only; rows of unknown videos get a fault.

    Args:
        timelines: timelines by video id; the split is empty if it is unknown.
        excluded: rows of excluded keyframes.
        is_listed: whether videos.csv names all videos, so that these rows add none.
    """
    for rows in excluded:
        if not is_listed:
            timelines = {video_id: Timeline(rows.split) for video_id in rows.named_videos()} | timelines
        without_split = [each for each in rows.named_videos() if each in timelines and not timelines[each].split]
        timelines |= {each: replace(timelines[each], split=rows.split) for each in without_split}
        note_foreign_videos(rows, timelines)
    return {video_id: each for video_id, each in timelines.items() if each.split}


def _read_videos(folder: Path) -> dict[str, Timeline]:
    """Read `videos.csv`, with the header of `read_timelines` or with named columns as `read_listed` reads them.

    Times that the file does not give are AVA's.

    Raises:
        InputError: see these functions; or only some videos have a time, so that their labels would be shifted against
            those of the others.
    """
    path = folder / "videos.csv"
    rows = read_rows(path)
    header = [rows.column(index)[0].as_py().lower() for index in range(rows.widths[0])] if len(rows) else []
    if header == HEADER or "video_id" not in header:
        return read_timelines(path)
    listed = read_listed(folder)
    for name in ("first_timestamp", "offset_seconds"):
        without = [video_id for video_id, one in listed.items() if getattr(one, name) is None]
        if without and len(without) < len(listed):
            raise InputError(f"{path}: found no {name} of video {without[0]}, expected it of every video or of none")
    return {
        video_id: Timeline(
            one.split or "",
            AVA_FIRST_TIMESTAMP if one.first_timestamp is None else one.first_timestamp,
            one.offset_seconds or 0.0,
        )
        for video_id, one in listed.items()
    }


def _first_problem(annotated: list[AvaRows], missing: list[Problem]) -> Problem | str:
    problems = [problem for rows in annotated for problem in rows.faults.problems()]
    return next(iter([*problems, *missing]), "there are none")


def annotation_files(folder: Path) -> dict[str, Path]:
    """Return the annotation file of each split, found by its short or its published name.

    Raises:
        InputError: a split has two.
    """
    return _by_split(folder, lambda path: _named(path, "{}.csv", PUBLISHED))


def excluded_files(folder: Path) -> dict[str, Path]:
    """Return the list of excluded keyframes of each split: CSV files with `excluded` and the split in their names.

    A list with a published name is read only if its split has annotations: AVA's test split has none.

    Raises:
        InputError: a split has two.
    """
    annotated = annotation_files(folder)
    found = _by_split(folder, lambda path: split_in(path.stem) if EXCLUDED.fullmatch(path.name) else "")
    return {
        split: path
        for split, path in found.items()
        if split in annotated or not PUBLISHED_EXCLUDED.fullmatch(path.name)
    }


def _named(path: Path, short: str, published: re.Pattern[str]) -> str:
    """Return the split that the name of a file states, in its short or its published form."""
    match = published.fullmatch(path.name)
    return match[1] if match else next((split for split in SPLITS if path.name == short.format(split)), "")


def _by_split(folder: Path, split_of: Callable[[Path], str]) -> dict[str, Path]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if split := split_of(path):
            found.setdefault(split, []).append(path)
    for split, paths in found.items():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise InputError(f"{folder}: found {names}, expected one file for {split}")
    return {split: found[split][0] for split in SPLITS if split in found}


def _read_labels(path: Path, classes: int) -> list[Label]:
    labels = read_shifted_label_map(path)[0]
    check_count(path, labels, classes)
    return labels

"""A folder of annotations in any of the formats of docs/datasets.md; the content of a file tells its format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.assemble import AvaImport, assemble
from pipeline.datasets.ava import annotation_files, excluded_files, import_ava
from pipeline.datasets.ava_rows import ANNOTATION_WIDTHS, EXCLUDED_WIDTHS, AvaRows, note_foreign_videos, read_ava_rows
from pipeline.datasets.class_ids import ClassNames, check_names, check_shift, find_label_map, read_shifted_label_map
from pipeline.datasets.class_map import Choice, choose_classes
from pipeline.datasets.coco import action_numbers, category_labels, coco_rows
from pipeline.datasets.csv_rows import numbers, read_rows
from pipeline.datasets.cvat import cvat_rows, read_task
from pipeline.datasets.drafts import Read
from pipeline.datasets.kinetics import kinetics_files
from pipeline.datasets.listed import Listed, assign_splits, read_listed
from pipeline.datasets.multisports import by_sport, csv_rows_of, pickle_rows
from pipeline.datasets.recognise import Found, recognise
from pipeline.datasets.timelines import Timeline
from pipeline.datasets.via import read_via, via_rows
from pipeline.errors import InputError
from pipeline.labels import Label

# Ids that class_map leaves out may be any.
UNBOUNDED = 2**31 - 2


@dataclass(frozen=True)
class SourceOptions:
    """How a folder is read; the parameters `dataset.*`."""

    classes: int
    "Width of the classifier."
    first_id: int | None = None
    "The source's first id, 0 or 1; None: 0 where the label map lists an id 0, else 1."
    class_map: Choice | None = None
    action_attribute: str = "action"
    keyframe_seconds: float = 1.0
    val_fraction: float = 0.2
    evaluate: str = "ava"
    clips: Path | None = None


@dataclass
class _Classes:
    """What is known of the classes while files are read."""

    labels: list[Label]
    first_id: int
    own: list[tuple[Path, list[Label]]] = field(default_factory=list)
    "Classes that files name themselves."


def import_source(folder: Path, options: SourceOptions) -> AvaImport:
    """Read a folder of annotations.

    Raises:
        InputError: the folder is absent or holds nothing that can be read, a file is of a wrong form, ids are off by
            one, a video is in two files or splits, or something that a format needs is told nowhere.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of annotations")
    found = recognise(folder)
    told = [f"not read: {path.name}: {why}" for path, why in found.unread]
    if found.custom():
        imported, first_id = _import_custom(folder, found, options)
    else:
        imported, first_id = _import_ava(folder, options)
    imported = replace(imported, told=[*imported.told, *told], problems=[*found.problems, *imported.problems])
    if options.class_map is None:
        return imported
    return choose_classes(imported, options.class_map, classes=options.classes, first_id=first_id)


def _import_ava(folder: Path, options: SourceOptions) -> tuple[AvaImport, int]:
    kinetics = kinetics_files(folder, evaluate=options.evaluate, clips=options.clips)
    label_map = find_label_map(folder)
    labels, first_of_map = read_shifted_label_map(label_map)
    first_id = first_of_map if options.first_id is None else options.first_id
    if options.first_id is None:
        for path in [*annotation_files(folder).values(), *(kinetics.files.values() if kinetics else ())]:
            ids = numbers(read_rows(path).column(6))
            check_shift(path, ids, first_id=first_id, classes=_count(labels, options))
    width = options.classes if options.class_map is None else UNBOUNDED
    imported = import_ava(folder, classes=width, first_id=first_id, kinetics=kinetics)
    files = [*annotation_files(folder).values(), *excluded_files(folder).values(), label_map]
    told = f"AVA CSV: {', '.join(path.name for path in files)}"
    if kinetics:
        told += f"; AVA-Kinetics: {', '.join(path.name for path in kinetics.files.values())}; val is {options.evaluate}"
    return replace(imported, told=[told, *imported.told]), first_id


def _count(labels: Sequence[Label], options: SourceOptions) -> int:
    return options.classes if options.class_map is None else max(label.id for label in labels)


def _import_custom(folder: Path, found: Found, options: SourceOptions) -> tuple[AvaImport, int]:
    listed = read_listed(folder)
    label_map = find_label_map(folder)
    known = _Classes([], 1)
    if label_map.exists():
        known.labels, known.first_id = read_shifted_label_map(label_map)
    if options.first_id is not None:
        known.first_id = options.first_id
    reads, excluded = _read_all(folder, found, known, listed, options)
    if found.multisports_pickles or found.multisports_csvs:
        known.labels = by_sport(known.labels)
    for path, own in known.own:
        check_names(label_map, known.labels, path, own)
    if not known.labels:
        names = ", ".join(path.name for path in found.files())
        raise InputError(f"{folder}: found {names} and no names of classes: expected a label map ({label_map.name})")
    largest = max(label.id for label in known.labels)
    if options.class_map is None and largest > options.classes:
        raise InputError(f"{folder}: class ids go to {largest}, expected 1 to {options.classes} (dataset.classes)")
    timelines, told = _timelines(folder, reads, listed, options)
    excluded = [rows for rows in excluded if rows.named_videos()]
    for rows in excluded:
        note_foreign_videos(rows, timelines)
    annotated = [rows for read in reads for rows in read.rows]
    if not timelines:
        first = next((problem for rows in annotated for problem in rows.faults.problems()), "there are none")
        raise InputError(f"{folder}: no row can be used: {first}")
    imported = assemble(annotated, excluded, timelines, known.labels)
    formats = sorted({read.format for read in reads})
    lines = [line for read in reads for line in read.told]
    summary = imported.summary | {"formats": formats}
    return replace(imported, told=[*lines, *told], summary=summary), known.first_id


def _read_all(
    folder: Path, found: Found, known: _Classes, listed: dict[str, Listed], options: SourceOptions
) -> tuple[list[Read], list[AvaRows]]:
    """Every file; classes that no label map names come from the files, the first of them first."""
    width = options.classes if options.class_map is None else UNBOUNDED
    seconds, attribute = options.keyframe_seconds, options.action_attribute
    reads: list[Read] = []
    for path, content in found.multisports_pickles:
        read, own = pickle_rows(path, content, listed)
        reads.append(read)
        _take(known, path, own)
        if options.first_id is None:
            known.first_id = 0
    tasks = [read_task(path, attribute) for path in found.cvat]
    vias = [read_via(path, attribute) for path in found.via]
    if not known.labels:
        named = [(each.names, each.path) for each in tasks] + [(each.names, each.path) for each in vias]
        lists = {tuple(own): path for own, path in named if own}
        if len(lists) > 1:
            both = " and ".join(sorted(path.name for path in lists.values()))
            raise InputError(f"{folder}: {both} list different actions: expected a label map that has them all")
        known.labels = [Label(i, name, "action") for i, name in enumerate(next(iter(lists), ()), start=1)]
    for path, content in found.coco:
        own = category_labels(content, str(path))
        first = 0 if any(label.id == 0 for label in own) else known.first_id
        if options.first_id is not None:
            first = options.first_id
        _take(known, path, [replace(label, id=label.id - first + 1) for label in own])
        _check(path, action_numbers(content), first, known, options)
        reads.append(coco_rows(path, content, listed, classes=width, first_id=first))
    names = ClassNames(known.labels)
    reads += [cvat_rows(task, names, listed, classes=width, keyframe_seconds=seconds) for task in tasks]
    reads += [via_rows(via, names, listed, classes=width, keyframe_seconds=seconds) for via in vias]
    for path in found.multisports_csvs:
        first = 0 if options.first_id is None else options.first_id
        known.first_id = first
        _check(path, numbers(read_rows(path).column(6)).tolist(), first, known, options)
        reads.append(csv_rows_of(path, listed, classes=width, first_id=first))
    splits = {path: split for split, path in annotation_files(folder).items()}
    for path in found.ava:
        _check(path, numbers(read_rows(path).column(6)).tolist(), known.first_id, known, options)
        rows = read_ava_rows(
            path, split=splits.get(path, ""), classes=width, widths=ANNOTATION_WIDTHS, first_id=known.first_id
        )
        times = {}
        for each in rows.named_videos():
            one = listed.get(each, Listed())
            first_timestamp = Timeline("").first_timestamp if one.first_timestamp is None else one.first_timestamp
            times[each] = Timeline(rows.split, first_timestamp, one.offset_seconds or 0.0)
        reads.append(Read("AVA CSV", [rows], times, [f"{path.name}: AVA CSV: {len(times)} videos"]))
    excluded = [
        read_ava_rows(path, split=split, classes=width, widths=EXCLUDED_WIDTHS)
        for split, path in excluded_files(folder).items()
    ]
    return reads, excluded


def _take(known: _Classes, path: Path, own: list[Label]) -> None:
    """Classes that a file names: the label map where there is none, else to be compared with it."""
    if not own:
        return
    if known.labels:
        known.own.append((path, own))
    else:
        known.labels = own


def _check(path: Path, ids: Sequence[float], first_id: int, known: _Classes, options: SourceOptions) -> None:
    if options.first_id is None:
        count = _count(known.labels, options) if known.labels else options.classes
        check_shift(path, np.array(ids, np.float64), first_id=first_id, classes=count)


def _timelines(
    folder: Path, reads: Sequence[Read], listed: Mapping[str, Listed], options: SourceOptions
) -> tuple[dict[str, Timeline], list[str]]:
    """Times and split of every video, annotated or listed."""
    times: dict[str, Timeline] = {}
    source: dict[str, Any] = {}
    for read in reads:
        for rows in read.rows:
            for video_id in rows.named_videos():
                if source.setdefault(video_id, rows) is not rows:
                    raise InputError(
                        f"{folder}: video {video_id} is in {source[video_id].faults.file} and in {rows.faults.file}; "
                        "expected each video in one file"
                    )
        times |= read.times
    for video_id, one in listed.items():
        if video_id not in times and one.split:
            times[video_id] = Timeline(one.split, one.first_timestamp or 0.0, one.offset_seconds or 0.0)
    told = {video_id: time.split for video_id, time in times.items() if time.split}
    splits, lines = assign_splits(sorted(times), told, dict(listed), val_fraction=options.val_fraction)
    return {video_id: replace(time, split=splits[video_id]) for video_id, time in times.items()}, lines

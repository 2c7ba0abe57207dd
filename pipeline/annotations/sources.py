"""Read a folder of annotations in any of the formats of docs/datasets.md; the content of a file tells its format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotations.assemble import AvaImport, assemble
from pipeline.annotations.attributes import AUTO, ActionAttributes, Wanted
from pipeline.annotations.ava import annotation_files, excluded_files, import_ava
from pipeline.annotations.ava_rows import (
    ANNOTATION_WIDTHS,
    EXCLUDED_WIDTHS,
    AvaRows,
    note_foreign_videos,
    read_ava_rows,
    renamed,
    source_ids,
)
from pipeline.annotations.class_ids import (
    ClassNames,
    check_count,
    check_names,
    check_shift,
    find_label_map,
    read_shifted_label_map,
    spelt,
)
from pipeline.annotations.class_map import Choice, choose_classes
from pipeline.annotations.coco import Actions, action_numbers, category_labels, choose_actions, coco_rows
from pipeline.annotations.cvat import read_task
from pipeline.annotations.drafts import DraftsRead
from pipeline.annotations.drawn_tracks import AnnotationTask, task_rows
from pipeline.annotations.formats import Found, recognise
from pipeline.annotations.kinetics import kinetics_files
from pipeline.annotations.label_studio import read_films
from pipeline.annotations.listed import Listed, assign_splits, known_splits, read_listed, splits_by_file
from pipeline.annotations.multisports_tubes import (
    FPS,
    by_sport,
    counts_frames,
    csv_rows_of,
    has_published_names,
    pickle_rows,
)
from pipeline.annotations.time_split import split_in_time
from pipeline.annotations.ucf101 import pyannot_rows
from pipeline.annotations.unread import NothingReadError, reasons
from pipeline.annotations.via import read_via, via_rows
from pipeline.base.errors import InputError, one_line
from pipeline.tables.film_ids import composed, film_of, has_ending
from pipeline.tables.label_map import Label
from pipeline.tables.timelines import Timeline, split_in

# Ids of classes that class_map leaves out have no upper limit.
UNBOUNDED = 2**31 - 2


@dataclass(frozen=True)
class SourceOptions:
    """How a folder is read, by the parameters `dataset.*`."""

    classes: int
    "Width of the classifier."
    first_id: int | None = None
    "The source's first id, 0 or 1; None means 0 if the label map lists an id 0, else 1."
    timestamps: str = "auto"
    "Unit of the timestamps in an AVA CSV: seconds or frames; auto looks at the rows."
    split_number: int = 1
    "Which of the alternative splits of a pickle of tubes to read, from 1."
    class_map: Choice | None = None
    action_attribute: Wanted = AUTO
    keyframe_seconds: float = 1.0
    val_fraction: float = 0.2
    split_by: str = "film"
    "How films without a split are split: by film (each film is train or val) or by time (within each film)."
    split_gap_seconds: float = 3.0
    evaluate: str = "ava"
    clips: Path | None = None


@dataclass
class _Classes:
    """What is known about the classes while files are read."""

    labels: list[Label]
    first_id: int
    own: list[tuple[Path, list[Label]]] = field(default_factory=list)
    "Classes that the files themselves name."


def import_source(folder: Path, options: SourceOptions) -> AvaImport:
    """Read a folder of annotations.

    Raises:
        NothingReadError: the folder holds nothing that can be read; an InputError.
        InputError: the folder is absent, a file has a wrong form, ids are off by one, a video is in two
            files or splits, or a value that a format needs is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of annotations")
    found = recognise(folder)
    kinetics = kinetics_files(folder, evaluate=options.evaluate, clips=options.clips)
    if kinetics and options.timestamps == "frames":
        raise InputError(f"{folder}: dataset.timestamps is frames, expected auto: AVA-Kinetics' rows count seconds")
    if not found.files() and kinetics is None:
        listed_only = (folder / "videos.csv").exists() and find_label_map(folder).exists()
        if found.unread or not listed_only:
            raise NothingReadError(folder, found.unread)
    told = [f"not read: {line}" for line in reasons(folder, found.unread)]
    if found.custom() or options.timestamps == "frames":
        imported, first_id = _import_custom(folder, found, options)
    else:
        imported, first_id = _import_ava(folder, options)
    problems = [*found.problems, *imported.problems]
    imported = replace(imported, told=[*imported.told, *told], problems=problems, unread=found.unread)
    if options.split_by == "time":
        imported = split_in_time(imported, val_fraction=options.val_fraction, gap_seconds=options.split_gap_seconds)
    if options.class_map is not None:
        imported = choose_classes(imported, options.class_map, classes=options.classes, first_id=first_id)
    # Names of files, attributes and classes stand in these lines, and may hold any character.
    lines, of_splits = ([one_line(each) for each in told] for told in (imported.told, imported.told_of_splits))
    return replace(imported, told=lines, told_of_splits=of_splits)


def _import_ava(folder: Path, options: SourceOptions) -> tuple[AvaImport, int]:
    kinetics = kinetics_files(folder, evaluate=options.evaluate, clips=options.clips)
    label_map = find_label_map(folder)
    labels, first_of_map = read_shifted_label_map(label_map)
    first_id = first_of_map if options.first_id is None else options.first_id
    if options.first_id is None:
        for path in [*annotation_files(folder).values(), *(kinetics.files.values() if kinetics else ())]:
            check_shift(path, source_ids(path), first_id=first_id, classes=_count(labels, options))
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
    if found.pickles() or any(map(has_published_names, found.file_csvs)):
        known.labels = by_sport(known.labels)
    for path, own in known.own:
        check_names(label_map, known.labels, path, own)
    timelines, told, untold = _timelines(folder, reads, listed, options)
    annotated = [rows for read in reads for rows in read.rows]
    if not timelines:
        first = next((problem for rows in annotated for problem in rows.faults.problems()), "there are none")
        raise InputError(f"{folder}: no row can be used: {first}")
    if not known.labels:
        names = ", ".join(path.name for path in found.files())
        raise InputError(f"{folder}: found {names} and no names of classes: expected a label map ({label_map.name})")
    if options.class_map is None:
        check_count(folder, known.labels, options.classes)
    excluded = [rows for rows in excluded if rows.named_videos()]
    for rows in excluded:
        note_foreign_videos(rows, timelines)
    imported = assemble(annotated, excluded, timelines, known.labels)
    formats = sorted({read.format for read in reads})
    lines = [line for read in reads for line in read.told]
    notices = [notice for read in reads for notice in read.notices]
    lines += [f"{each.kind}: {each.problem}" for each in notices]
    summary = imported.summary | {"formats": formats}
    if notices:
        kinds = sorted({each.kind for each in notices})
        summary["notices"] = {kind: sum(each.count for each in notices if each.kind == kind) for kind in kinds}
    sizes: dict[str, set[tuple[float, float]]] = {}
    for read in reads:
        for video_id, told_sizes in read.sizes.items():
            sizes.setdefault(video_id, set()).update(told_sizes)
    assumed = {video_id: fps for read in reads for video_id, fps in read.assumed_fps.items() if video_id in timelines}
    imported = replace(imported, notices=notices, sizes=sizes, assumed_fps=assumed)
    counted = frozenset().union(*(read.counted for read in reads))
    imported = replace(imported, told=[*lines, *told], told_of_splits=told, summary=summary)
    imported = replace(imported, counted=counted, untold=untold)
    return imported, known.first_id


def _read_all(
    folder: Path, found: Found, known: _Classes, listed: dict[str, Listed], options: SourceOptions
) -> tuple[list[DraftsRead], list[AvaRows]]:
    """Read every file; without a label map the classes come from the files, the first file first."""
    width = options.classes if options.class_map is None else UNBOUNDED
    reads: list[DraftsRead] = []
    for path, content in found.multisports_pickles:
        read, own = pickle_rows(path, content, listed, number=options.split_number)
        reads.append(read)
        _take(known, path, own)
        if options.first_id is None:
            known.first_id = 0
    for path, content in found.pyannots:
        read, own = pyannot_rows(path, content, listed, classes=width)
        reads.append(read)
        _take(known, path, own)
        known.first_id = 0 if options.first_id is None else known.first_id
    reads += _read_tools(folder, found, known, listed, options)
    for path in [*found.ava, *found.file_csvs]:
        _check(path, source_ids(path).tolist(), known.first_id, known, options)
        reads.append(_csv(path, path in found.file_csvs, known, listed, options))
    excluded = [
        renamed(path, read_ava_rows(path, split=split, classes=width, widths=EXCLUDED_WIDTHS))
        for split, path in excluded_files(folder).items()
    ]
    return reads, excluded


def _read_tools(
    folder: Path, found: Found, known: _Classes, listed: dict[str, Listed], options: SourceOptions
) -> list[DraftsRead]:
    """Read the files of annotation tools; without a label map their attributes name the classes."""
    width = options.classes if options.class_map is None else UNBOUNDED
    seconds, wanted = options.keyframe_seconds, options.action_attribute
    mapped = ClassNames(known.labels) if known.labels else None
    tasks = [read_task(source, wanted, mapped) for source in found.cvat]
    films = [task for path, content in found.label_studio for task in read_films(path, content, listed, wanted, mapped)]
    vias = [read_via(path, wanted, mapped) for path in found.via]
    cocos = [(path, content, choose_actions(path, content, wanted, mapped)) for path, content in found.coco]
    if not known.labels:
        defined = [(each.chosen, each.name) for each in tasks] + [(each.chosen, each.path.name) for each in vias]
        by_attribute = [chosen for _, _, chosen in cocos if chosen.attributes]
        known.labels = _named(folder, defined, [*by_attribute, *(each.chosen for each in films)])
    reads = []
    for path, content, chosen in cocos:
        first = known.first_id
        if not chosen.attributes:
            own = category_labels(content, str(path))
            first = 0 if any(label.id == 0 for label in own) else known.first_id
            first = first if options.first_id is None else options.first_id
            _take(known, path, [replace(label, id=label.id - first + 1) for label in own])
            _check(path, action_numbers(content), first, known, options)
        actions = Actions(chosen, ClassNames(known.labels), first)
        reads.append(coco_rows(path, content, listed, classes=width, actions=actions))
    names = ClassNames(known.labels)
    by_film: dict[str, list[AnnotationTask]] = {}
    for task in [*tasks, *films]:
        by_film.setdefault(task.video_id, []).append(task)
    reads += [task_rows(each, names, listed, classes=width, keyframe_seconds=seconds) for each in by_film.values()]
    reads += [via_rows(via, names, listed, classes=width, keyframe_seconds=seconds) for via in vias]
    return reads


def _named(
    folder: Path, defined: Sequence[tuple[ActionAttributes, str]], seen: Sequence[ActionAttributes]
) -> list[Label]:
    """Return the classes of the files: the defined ones in their order, then the others that occur, sorted.

    Raises:
        InputError: two files define different classes.
    """
    lists = {chosen.names: name for chosen, name in defined if chosen.names}
    if len(lists) > 1:
        both = " and ".join(sorted(lists.values()))
        raise InputError(f"{folder}: {both} list different actions: expected a label map that has them all")
    names = {spelt(each): each for each in next(iter(lists), ())}
    for each in sorted({name for chosen in seen for name in chosen.names}):
        names.setdefault(spelt(each), each)
    return [Label(i, name, "action") for i, name in enumerate(names.values(), start=1)]


def _csv(
    path: Path, names_files: bool, known: _Classes, listed: Mapping[str, Listed], options: SourceOptions
) -> DraftsRead:
    """Read a CSV of AVA rows; with `names_files` some of its ids are file names."""
    width = options.classes if options.class_map is None else UNBOUNDED
    frames = counts_frames(path, options.timestamps) if names_files else options.timestamps == "frames"
    if frames:
        assumed = FPS if names_files and options.timestamps == "auto" else None
        return csv_rows_of(path, listed, classes=width, first_id=known.first_id, fps=assumed)
    split = split_in(path.stem)
    rows = read_ava_rows(path, split=split, classes=width, widths=ANNOTATION_WIDTHS, first_id=known.first_id)
    told = f"{path.name}: AVA CSV"
    if names_files:
        named = next(each for each in rows.video_ids if has_ending(each))
        rows = renamed(path, rows)
        told += f" whose ids are files ({named} is film {film_of(named)}), timestamps are seconds"
    times = {}
    for each in rows.named_videos():
        one = listed.get(each, Listed())
        first_timestamp = Timeline("").first_timestamp if one.first_timestamp is None else one.first_timestamp
        times[each] = Timeline(rows.split, first_timestamp, one.offset_seconds or 0.0)
    return DraftsRead("AVA CSV", [rows], times, [f"{told}: {len(times)} videos"])


def _take(known: _Classes, path: Path, own: list[Label]) -> None:
    """Take the classes of a file as the label map if there is none yet; else keep them to compare with it."""
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
    folder: Path, reads: Sequence[DraftsRead], listed: Mapping[str, Listed], options: SourceOptions
) -> tuple[dict[str, Timeline], list[str], frozenset[str]]:
    """Return the timeline of every annotated or listed video, lines on the splits, and the videos without a split.

    With a split by time, videos without a split are train here.
    """
    times: dict[str, Timeline] = {}
    source: dict[str, Any] = {}
    for read in reads:
        for rows in read.rows:
            for video_id in rows.named_videos():
                # The jobs of one task count as one source.
                if source.setdefault(video_id, (read, rows.faults.file))[0] is not read:
                    raise InputError(
                        f"{folder}: video {video_id} is in {source[video_id][1]} and in {rows.faults.file}; "
                        "expected each video in one file"
                    )
        times |= {composed(video_id): time for video_id, time in read.times.items()}
    for video_id, one in listed.items():
        if video_id not in times and one.split:
            times[video_id] = Timeline(one.split, one.first_timestamp or 0.0, one.offset_seconds or 0.0)
    open_rows = [rows for read in reads for rows in read.rows if not rows.split]
    told = splits_by_file(
        folder,
        [
            (rows.faults.file, [each for each in rows.named_videos() if not listed.get(each, Listed()).split])
            for rows in open_rows
        ],
    )
    told |= {video_id: time.split for video_id, time in times.items() if time.split}
    known = known_splits(sorted(times), told, dict(listed))
    splits, lines = dict.fromkeys(times, "train") | known, list[str]()
    if options.split_by == "film":
        splits, lines = assign_splits(sorted(times), told, dict(listed), val_fraction=options.val_fraction)
    untold = frozenset(times) - known.keys()
    return {video_id: replace(time, split=splits[video_id]) for video_id, time in times.items()}, lines, untold

"""Import the boxes of persons and objects into one table, and account for every row that is left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.annotations.unread import reasons
from pipeline.base.errors import InputError, counted
from pipeline.base.problems import Problem
from pipeline.boxes.box_rows import NOT_ANNOTATED, BoxRows
from pipeline.boxes.formats_of_boxes import BoxFiles, read_box_files
from pipeline.boxes.objects import read_objects
from pipeline.boxes.yolo import find_yolo, read_yolo
from pipeline.tables.csv_rows import Floats, Ints, Mask, shown
from pipeline.tables.film_ids import film_of, guess_at_names
from pipeline.tables.ordering import first_alike, group_starts, ordered
from pipeline.tables.schemas import BOX_COLUMNS, BOXES

HISTOGRAM_BINS = 20

# What happened to a row.
KEPT, EMPTY, BAD, UNKNOWN, BELOW, REPEATED, ELSEWHERE = range(7)
FATES = (
    "kept",
    "keyframes_without_a_box",
    "bad",
    "unknown_video",
    "below_min_score",
    "same_box_again",
    "same_box_in_another_file",
)


@dataclass(frozen=True)
class BoxImport:
    """The boxes of persons and objects as a table, with counts and problems."""

    boxes: pa.Table
    problems: list[Problem]
    rows: int
    "Number of rows read, good and bad."
    bad: int
    "Number of unusable rows: bad rows, and rows of videos that the annotations do not name."
    summary: dict[str, Any]
    told: list[str]
    "Lines to print for the user: the format of each file, and how it was read."
    highest: float
    "The highest score of a box of a known video."
    left_out: list[tuple[Path, str]]
    "Annotation files beside the boxes, each with a description."
    without_score: dict[str, int]
    "By file: the number of boxes without a score, if there are any; their score is 1."
    objects: int = 0
    "Number of rows of the table that are objects."


@dataclass(frozen=True)
class _Rows:
    """The n rows of all files, one file after the other; `fate` [n] is filled in step by step."""

    file: Ints
    video: Ints
    "Row number in the timelines table, or -1."
    timestamp: Floats
    time_seconds: Floats
    boxes_xyxy: Floats
    score: Floats
    fate: NDArray[np.int8]
    label: Ints
    "Index into `labels`, or -1 for a person."
    labels: pa.StringArray

    @property
    def persons(self) -> Mask:
        """Which rows belong to files of persons: a person, or a keyframe without one."""
        return self.label < 0


def import_boxes(
    folder: Path,
    timelines: pa.Table,
    *,
    min_score: float,
    keyframes: pa.Table | None = None,
    detector: str = "",
    person_class: int = 0,
    annotations: Path | None = None,
    objects: Path | None = None,
) -> BoxImport:
    """Read every box file of a folder, of any format of docs/data-layout.md, into one BOXES table.

    Rows of objects, from the same files or from a folder of their own, have a label.

    Boxes of videos that the annotations do not name are left out, one problem per video. Equal boxes of a
    keyframe become one, with the best score: in one file they are the rows of several actions, in two files a
    problem. The table is sorted by (video_id, timestamp, score descending, box, persons before objects).

    Args:
        folder: the folder of the boxes.
        timelines: TIMELINES.
        min_score: boxes with a lower score are left out.
        keyframes: KEYFRAMES; if given, the summary counts the keyframes without a box.
        detector: the detector of `detect_boxes` that made the boxes, as their source; if empty, the source is the
            format.
        person_class: the class id of person in YOLO's text files.
        annotations: see `read_box_files`.
        objects: the folder of boxes of objects; None if there is none.

    Raises:
        InputError: there is no box file, a file cannot be read, or no row is a person's box of a known video.
    """
    found = _read_files(folder, annotations, timelines, keyframes, person_class, objects)
    files = list(found.rows.values())
    rows = _joined(files, timelines)
    problems = found.problems + _note_faults(rows, found.rows, timelines)
    if not (rows.persons & (rows.fate == KEPT)).any():
        persons = [file for name, file in found.rows.items() if objects is None or "/" not in name]
        raise InputError(f"{folder}: {_nothing_kept(persons, timelines, problems)}")
    scores = rows.score[rows.persons & (rows.fate == KEPT)]
    rows.fate[(rows.fate == KEPT) & (rows.score < min_score)] = BELOW
    problems += _drop_repeated(rows, list(found.rows))
    table = _table(rows, [detector or file.format for file in files], timelines)
    summary = _summary(rows, found, scores, min_score=min_score, splits=_splits(rows, timelines, keyframes))
    counts = summary["all_files"]
    return BoxImport(
        boxes=table,
        problems=problems,
        rows=counts["rows"],
        bad=counts["bad"] + counts["unknown_video"],
        summary=summary,
        told=_told(folder, found, detector),
        highest=float(scores.max()),
        left_out=found.left_out,
        without_score={name: file.without_score for name, file in found.rows.items() if file.without_score},
        objects=len(table) - table["label"].null_count,
    )


def _note_faults(rows: _Rows, files: Mapping[str, BoxRows], timelines: pa.Table) -> list[Problem]:
    """Fill in the fate of each row on its own, and return the problems of each file."""
    problems = []
    for number, (name, file) in enumerate(files.items()):
        mine = rows.file == number
        _note_early(file, rows.time_seconds[mine], timelines, rows.video[mine])
        rows.fate[mine] = np.where(file.empty, EMPTY, KEPT)
        rows.fate[mine & (rows.video < 0)] = UNKNOWN
        rows.fate[np.flatnonzero(mine)[file.faults.bad]] = BAD
        own = [*file.key_problems, *file.faults.problems()]
        problems += [replace(each, file=name) for each in own] if "/" in name else own  # a file of objects
        problems += _unknown_videos(name, file, rows.fate[mine] == UNKNOWN)
    return problems


def _summary(
    rows: _Rows, found: BoxFiles, scores: Floats, *, min_score: float, splits: dict[str, Any]
) -> dict[str, Any]:
    """Return what happened to the rows, by file and in total; `scores` are those of persons of known videos."""
    accounts = {
        name: _account(rows.fate[rows.file == number], file) for number, (name, file) in enumerate(found.rows.items())
    }
    all_files = {key: sum(each[key] for each in accounts.values()) for key in (*FATES, "not_persons", "rows")}
    summary = {
        "rows": all_files["rows"],
        "min_score": min_score,
        "files": [{"file": name, "format": found.rows[name].format} | account for name, account in accounts.items()],
        "all_files": all_files,
        "splits": splits,
        "score_histogram": _histogram(scores),
    }
    counts = np.bincount(rows.label[(rows.fate == KEPT) & ~rows.persons], minlength=len(rows.labels)).tolist()
    by_label = {name: count for name, count in zip(rows.labels.to_pylist(), counts, strict=True) if count}
    summary |= {"objects": dict(sorted(by_label.items()))} if by_label else {}
    return summary | ({"left_out": [path.name for path, _ in found.left_out]} if found.left_out else {})


def _told(folder: Path, found: BoxFiles, detector: str) -> list[str]:
    """Return lines on the format of each file and how it was read."""
    return [
        "read " + ", ".join(f"{name} as {detector or file.format}" for name, file in found.rows.items()),
        *(f"{name}: {file.note}" for name, file in found.rows.items() if file.note),
        *(f"left out: {line}" for line in reasons(folder, found.left_out)),
    ]


def _read_files(
    folder: Path,
    annotations: Path | None,
    timelines: pa.Table,
    keyframes: pa.Table | None,
    person_class: int,
    objects: Path | None,
) -> BoxFiles:
    """Read the files of both folders, YOLO's text files as one file, with the ids of the annotated films."""
    of_yolo = find_yolo(folder)
    found = read_box_files(folder, annotations, beside=of_yolo)
    read = dict(found.rows)
    if of_yolo:
        read["*.txt"] = read_yolo(folder, of_yolo, timelines, keyframes, person_class=person_class)
    problems, left_out = found.problems, found.left_out
    if objects is not None:
        beside = read_objects(objects, annotations, [folder, *([annotations] if annotations else [])])
        read |= beside.rows
        problems, left_out = [*problems, *beside.problems], [*left_out, *beside.left_out]
    return BoxFiles({name: _of_films(file, timelines) for name, file in read.items()}, problems, left_out)


def _nothing_kept(files: Sequence[BoxRows], timelines: pa.Table, problems: Sequence[Problem]) -> str:
    """Describe, for a message, why no row is a box of an annotated video."""
    if classes := next((file.classes for file in files if file.classes), ""):
        return f"no row is a box of a person: {classes}; set boxes.person_class to the class that is a person"
    others = sum(file.not_persons for file in files) + sum(
        len(file.labels) - file.labels.null_count for file in files if file.labels is not None
    )
    if others and not problems:
        return f"no row is a box of a person: {others} boxes have other classes"
    strange = sorted({str(each) for file in files for each in file.video_ids.unique().to_pylist()})
    annotated = sorted(map(str, timelines["video_id"].to_pylist()))
    all_strange = annotated and not set(strange) & set(annotated)
    guess = guess_at_names(strange, annotated) if all_strange else ""
    reason = f"{problems[0] if problems else 'there are no rows'}{guess}"
    return f"no row is a box of a video that the annotations name: {reason}"


def _of_films(file: BoxRows, timelines: pa.Table) -> BoxRows:
    """Return the rows with file names (`a.mp4`) in place of ids replaced by the ids of annotated films."""
    known = set(timelines["video_id"].to_pylist())
    coded = file.video_ids.dictionary_encode()
    ids = coded.dictionary.to_pylist()
    films = [each if each in known or film_of(each) not in known else film_of(each) for each in ids]
    if films == ids:
        return file
    first = next(each for each, film in zip(ids, films, strict=True) if each != film)
    note = f"ids are files ({first} is film {film_of(first)})"
    column = pa.array(films, pa.string()).take(coded.indices)
    return replace(file, video_ids=column, note="; ".join(filter(None, (file.note, note))))


def _joined(files: list[BoxRows], timelines: pa.Table) -> _Rows:
    video_ids = pa.concat_arrays([pa.array([], pa.string()), *(file.video_ids for file in files)])
    known = timelines["video_id"].combine_chunks()
    video = pc.fill_null(pc.index_in(video_ids, known), -1).to_numpy().astype(np.int64)
    timestamp = np.concatenate([file.timestamp for file in files])
    # An unknown video has row number -1, which reads the NaN at the end.
    first = np.append(timelines["first_timestamp"].to_numpy(), np.nan)
    offset = np.append(timelines["offset_seconds"].to_numpy(), np.nan)
    nulls = [pa.nulls(len(file), pa.string()) if file.labels is None else file.labels for file in files]
    labels = pa.concat_arrays([pa.array([], pa.string()), *nulls]).dictionary_encode()
    return _Rows(
        file=np.repeat(np.arange(len(files)), [len(file) for file in files]),
        video=video,
        timestamp=timestamp,
        time_seconds=timestamp - first[video] + offset[video],
        boxes_xyxy=np.concatenate([file.boxes_xyxy for file in files]),
        score=np.concatenate([file.score for file in files]),
        fate=np.zeros(len(video), np.int8),
        label=pc.fill_null(labels.indices, -1).to_numpy().astype(np.int64),
        labels=labels.dictionary,
    )


def _note_early(file: BoxRows, time_seconds: Floats, timelines: pa.Table, video: Ints) -> None:
    begins = timelines["first_timestamp"].to_numpy() - timelines["offset_seconds"].to_numpy()
    file.faults.add(
        time_seconds < 0,
        lambda i: f"timestamp {file.timestamp[i]:.10g} in a film that begins at timestamp {begins[video[i]]:.10g}",
        "a time in the film (videos.csv sets first_timestamp and offset_seconds)",
        "before-film",
    )


def _unknown_videos(name: str, file: BoxRows, unknown: NDArray[np.bool_]) -> list[Problem]:
    counts = Counter(file.video_ids.filter(pa.array(unknown)).to_pylist())
    expected = "a video of train.csv, val.csv, test.csv or videos.csv"
    return [
        Problem(
            name, f"video {shown(video_id)}", f"{counted(count, 'row')} of {NOT_ANNOTATED}", expected, "unknown-film"
        )
        for video_id, count in sorted(counts.items())
    ]


def _drop_repeated(rows: _Rows, names: list[str]) -> list[Problem]:
    """Keep the best-scored of equal boxes; return a problem for each pair of files that share boxes."""
    left = np.flatnonzero(rows.fate == KEPT)
    keys = [rows.video[left], rows.timestamp[left], *rows.boxes_xyxy[left].T, rows.label[left]]
    order = ordered([*keys, -rows.score[left], rows.file[left]])
    starts = group_starts([key[order] for key in keys])
    group = np.cumsum(starts) - 1
    again = ~starts
    best_file = rows.file[left[order[starts]]][group]
    file = rows.file[left[order]]
    in_this_file = first_alike([group, file]) != np.arange(len(order))
    rows.fate[left[order[again]]] = REPEATED
    elsewhere = again & ~in_this_file
    rows.fate[left[order[elsewhere]]] = ELSEWHERE
    pairs = Counter(zip(file[elsewhere].tolist(), best_file[elsewhere].tolist(), strict=True))
    return [
        Problem(
            names[one], f"{count} boxes", f"boxes that {names[other]} has too", "each box in one file", "in-two-files"
        )
        for (one, other), count in sorted(pairs.items())
    ]


def _table(rows: _Rows, sources: list[str], timelines: pa.Table) -> pa.Table:
    kept = np.flatnonzero(rows.fate == KEPT)
    # The timelines are sorted by video, so their row numbers sort like the ids.
    keys = [rows.video[kept], rows.timestamp[kept], -rows.score[kept], *rows.boxes_xyxy[kept].T, rows.label[kept]]
    order = ordered(keys)
    kept = kept[order]
    columns = {
        "video_id": timelines["video_id"].combine_chunks().take(pa.array(rows.video[kept])),
        "timestamp": pa.array(rows.timestamp[kept]),
        "time_seconds": pa.array(rows.time_seconds[kept]),
        **{name: pa.array(rows.boxes_xyxy[kept, place]) for place, name in enumerate(BOX_COLUMNS)},
        "score": pa.array(rows.score[kept]),
        "source": pa.array(sources, pa.string()).take(pa.array(rows.file[kept])),
        "label": rows.labels.take(pa.array(rows.label[kept], mask=rows.label[kept] < 0)),
        "track_id": pa.nulls(len(kept), pa.int64()),
    }
    return pa.table(columns, BOXES)


def _account(fate: NDArray[np.int8], file: BoxRows) -> dict[str, int]:
    """Count the rows of a file by fate; boxes of other classes are not rows and are counted separately."""
    counts: dict[str, int] = dict(zip(FATES, np.bincount(fate, minlength=len(FATES)).tolist(), strict=True))
    counts["bad"] += file.key_rows
    return counts | {"not_persons": file.not_persons, "rows": len(fate) + file.key_rows}


def _histogram(scores: Floats) -> dict[str, Any]:
    """Return counts of scores per bin; scores are rounded first, so that 0.15 never falls below its bin."""
    bins = np.clip(np.round(scores * HISTOGRAM_BINS, 9), 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return {"bin_width": 1 / HISTOGRAM_BINS, "counts": np.bincount(bins, minlength=HISTOGRAM_BINS).tolist()}


def _splits(rows: _Rows, timelines: pa.Table, named: pa.Table | None) -> dict[str, Any]:
    splits = timelines["split"].to_pylist()
    usable = np.flatnonzero((rows.video >= 0) & (rows.fate != BAD) & rows.persons)
    order = usable[ordered([rows.video[usable], rows.timestamp[usable], rows.fate[usable]])]
    # KEPT sorts first, so the first row of a keyframe tells whether it has a box that was kept.
    firsts = order[group_starts([rows.video[order], rows.timestamp[order]])]
    summary = {}
    for split in sorted({name for each in splits for name in each.split("+")}):
        is_of = np.array([split in each.split("+") for each in splits], bool)
        keyframes = firsts[is_of[rows.video[firsts]]]
        kept, things = (rows.video[(rows.fate == KEPT) & mine] for mine in (rows.persons, ~rows.persons))
        kept = kept[is_of[kept]]
        videos = int(is_of.sum())
        summary[split] = {
            "videos": videos,
            "videos_without_a_box": videos - len(np.unique(kept)),
            "keyframes": len(keyframes),
            "keyframes_without_a_box": int((rows.fate[keyframes] != KEPT).sum()),
            "boxes": len(kept),
        } | _annotated(rows, timelines, named, split)
        if len(things):
            summary[split]["objects"] = int(is_of[things].sum())
    return summary


def _annotated(rows: _Rows, timelines: pa.Table, keyframes: pa.Table | None, split: str) -> dict[str, int]:
    """Count the annotated keyframes of a split, and those of them without a box."""
    if keyframes is None:
        return {}
    wanted = pc.and_(pc.equal(keyframes["split"], split), pc.equal(keyframes["status"], "annotated"))
    named = keyframes.filter(wanted)
    place = pc.fill_null(pc.index_in(named["video_id"], timelines["video_id"].combine_chunks()), -1)
    annotated = set(zip(place.to_pylist(), named["timestamp"].to_pylist(), strict=True))
    kept = (rows.fate == KEPT) & rows.persons
    boxed = set(zip(rows.video[kept].tolist(), rows.timestamp[kept].tolist(), strict=True))
    return {"annotated_keyframes": len(annotated), "annotated_keyframes_without_a_box": len(annotated - boxed)}

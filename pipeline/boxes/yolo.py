"""Read person boxes in text files as YOLO writes them: a file per frame, `VIDEO_12.txt`, and a line per box.

A line is `class cx cy w h [confidence] [track id]`, as fractions of the frame. Frames count from 1. The files give no
frame rate: it comes from a `videos.csv` beside them. A frame in which nothing was found has no file.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.annotations.frame_times import NAME as FRAME_TIMES
from pipeline.annotations.frame_times import Clock
from pipeline.annotations.listed import Listed, frame_clock, read_listed
from pipeline.base.errors import InputError, counted
from pipeline.base.files import visible_folders
from pipeline.base.problems import Fault, Problem
from pipeline.boxes.box_rows import NOT_ANNOTATED, BoxDraft, BoxRows, draft_box_rows
from pipeline.features.requests import film_seconds, rows_by_video
from pipeline.tables.csv_rows import Floats, shown
from pipeline.tables.film_ids import composed

YOLO_TEXT = "yolo_text"
LISTS = ("videos.csv", "split.csv", FRAME_TIMES, "classes.txt")
"Other files that may lie beside the text files."
NUMBERED = re.compile(r"(.*?)_?([0-9]{1,9})\.txt")
LOOKED_AT = 20
LAYOUT = "class cx cy w h [confidence] [track id], shares of the frame"
# Rows are checked in pixels of a frame of this size, where up to one pixel outside the frame counts as rounding.
# Scaling by a power of two is exact.
PIXELS = 4096.0
TICK = 1e-9


class _Row(NamedTuple):
    values: tuple[float, ...]
    fault: Fault | None = None


@dataclass(frozen=True)
class _Film:
    """The text files of one film by frame number."""

    files: dict[int, Path]
    first: int  # number of the first frame: 0 if there is a file with number 0, else 1


def find_yolo(folder: Path) -> list[Path]:
    """Return the text files below a folder whose names end in a number, if they hold YOLO's lines; else none."""
    if not folder.is_dir():
        return []
    found = [
        path / name for path, names in visible_folders(folder) for name in sorted(names) if NUMBERED.fullmatch(name)
    ]
    heads = (head for path in sorted(found)[:1000] if (head := _head(path)))
    return sorted(found) if any(map(_is_yolo, islice(heads, LOOKED_AT))) else []


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 10).decode("utf-8-sig", errors="replace").strip()
    except OSError:
        return ""


def _is_yolo(head: str) -> bool:
    values = head.splitlines()[0].split()
    try:
        return len(values) >= 5 and values[0].isdecimal() and all(abs(float(each)) <= 2 for each in values[1:5])
    except ValueError:
        return False


def read_yolo(
    folder: Path, paths: Sequence[Path], timelines: pa.Table, keyframes: pa.Table | None, *, person_class: int = 0
) -> BoxRows:
    """Read the person boxes at the keyframes and whole seconds of the annotated films; no other file is opened.

    The frame nearest to each of these times is taken; if it has no file, nobody was found.

    Args:
        folder: the folder of the boxes, with `videos.csv`.
        paths: the files that `find_yolo` found in it.
        timelines: TIMELINES.
        keyframes: KEYFRAMES.
        person_class: the class id of person.

    Raises:
        InputError: a frame rate is missing, or `videos.csv` is wrong.
    """
    known = set(timelines["video_id"].to_pylist())
    films, strangers = _by_film(folder, paths, known)
    listed = read_listed(folder)
    named = {} if keyframes is None else rows_by_video(keyframes, ["timestamp"])
    drafts: list[BoxDraft] = []
    counts: Counter[str] = Counter()
    rows: list[tuple[str, float, Path, list[_Row]]] = []
    for row in timelines.sort_by("video_id").to_pylist():
        film = films.get(row["video_id"])
        if film is None:
            continue
        one = listed.get(row["video_id"], Listed())
        clock = frame_clock(row["video_id"], {row["video_id"]: one}, None, f"{folder}: {YOLO_TEXT}")
        stamps = named.get(row["video_id"], np.empty((0, 1)))[:, 0]
        for timestamp, number in _moments(row, stamps, film, clock, one.offset_seconds or 0.0):
            counts["moments"] += 1
            path = film.files.get(number)
            rows.append((row["video_id"], timestamp, path or folder, _rows(path) if path else []))
    has_ids = _sixth_is_id([each for *_, lines in rows for each in lines])
    for video_id, timestamp, path, lines in rows:
        drafts += _drafts(video_id, timestamp, path, lines, person_class, has_ids, counts)
    note = f"{counts['moments']} moments (keyframes and whole seconds) of {len(films)} films, in {len(paths)} files"
    if counts["unscored"]:
        behind = ", but track ids" if has_ids else ""
        note = f"{counts['unscored']} boxes have no score column{behind}: their score is 1 (save_conf); {note}"
    read = draft_box_rows("*.txt", YOLO_TEXT, drafts, not_persons=counts["others"], note=note)
    kinds = {row.values[0] for *_, lines in rows for row in lines if not row.fault}
    return replace(
        read,
        key_problems=_unknown_films(strangers),
        key_rows=sum(strangers.values()),
        classes="" if person_class in kinds else _other_classes(person_class, kinds, counts["others"]),
        without_score=counts["unscored"],
    )


def _unknown_films(strangers: Mapping[str, int]) -> list[Problem]:
    expected = "VIDEO_12.txt, or files in a folder VIDEO, of an annotated video"
    return [
        Problem(
            "*.txt", f"video {shown(each)}", f"{counted(count, 'file')} of {NOT_ANNOTATED}", expected, "unknown-film"
        )
        for each, count in sorted(strangers.items())
    ]


def _other_classes(person_class: int, kinds: Collection[float], others: int) -> str:
    """Return `BoxRows.classes` for files with boxes but without persons; empty if there are no boxes."""
    found = ", ".join(f"{each:g}" for each in sorted(kinds))
    return (
        f"boxes.person_class={person_class}, and the {others} boxes that were read have class {found}" if found else ""
    )


def _by_film(folder: Path, paths: Sequence[Path], known: Collection[str]) -> tuple[dict[str, _Film], Counter[str]]:
    """Return the files of each annotated film, and the number of files of each other name."""
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    strangers: Counter[str] = Counter()
    for path in paths:
        match = NUMBERED.fullmatch(path.name)
        assert match
        prefix, number = composed(match[1]), int(match[2])
        above = [composed(each.name) for each in list(path.relative_to(folder).parents)[:-1]]
        video_id = next((each for each in (prefix, *above, composed(folder.name)) if each in known), "")
        if not video_id:
            strangers[prefix or path.parent.name] += 1
        elif number in files[video_id]:
            first = files[video_id][number].relative_to(folder)
            raise InputError(
                f"{folder}: {first} and {path.relative_to(folder)} are both frame {number} of video {video_id}, "
                "expected one file per frame"
            )
        else:
            files[video_id][number] = path
    return {video_id: _Film(each, 0 if 0 in each else 1) for video_id, each in files.items()}, strangers


def _moments(
    row: Mapping[str, float], stamps: Floats, film: _Film, clock: Clock, offset_seconds: float
) -> Iterator[tuple[float, int]]:
    """Yield the timestamp and frame number of a film's keyframes and whole seconds, up to the last file."""
    shift = row["offset_seconds"] - row["first_timestamp"]
    last = max(film.files) - film.first
    end = clock.seconds(last) + offset_seconds + 1 / clock.fps
    for timestamp in np.union1d(film_seconds(row["first_timestamp"], shift, end), stamps).tolist():
        seconds = timestamp + shift - offset_seconds
        frame = max(0, clock.frame(max(seconds, 0.0)))
        if abs(clock.seconds(frame + 1) - seconds) < abs(clock.seconds(frame) - seconds) - TICK:
            frame += 1
        if timestamp + shift >= 0 and seconds > -0.5 / clock.fps and frame <= last:
            yield timestamp, frame + film.first


def _rows(path: Path) -> list[_Row]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror or "" if isinstance(error, OSError) else "text that is not UTF-8"
        return [_Row((), Fault(f"a file that cannot be read ({found})", LAYOUT))]
    return [_row(line) for line in lines if line.strip()]


def _row(line: str) -> _Row:
    words = line.split()
    if not 5 <= len(words) <= 7:
        found = f"{len(words)} numbers"
        return _Row((), Fault(found, f"{LAYOUT}; outlines and keypoints are not read"))
    try:
        return _Row(tuple(float(word) for word in words))
    except ValueError:
        return _Row((), Fault(f"the line {shown(line)}", LAYOUT))


def _sixth_is_id(rows: Sequence[_Row]) -> bool:
    """Return whether the sixth value of all rows is a track id: `track` without `save_conf`."""
    sixth = [row.values[5] for row in rows if len(row.values) > 5]
    return bool(sixth) and all(each == int(each) for each in sixth if np.isfinite(each)) and max(sixth) > 1


def _drafts(
    video_id: str,
    timestamp: float,
    path: Path,
    rows: Sequence[_Row],
    person_class: int,
    has_ids: bool,
    counts: Counter[str],
) -> Iterator[BoxDraft]:
    """Yield the rows of one time; an empty keyframe if nobody was found."""
    found = False
    for line, row in enumerate(rows, start=1):
        where = f"{path.name} line {line}"
        if row.fault:
            found = True
            yield BoxDraft(where, video_id, timestamp, fault=row.fault)
            continue
        kind, x, y, width, height = row.values[:5]
        if kind != person_class:
            counts["others"] += 1
            continue
        found = True
        is_scored = len(row.values) > 5 and not has_ids
        counts["unscored"] += not is_scored
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        box = tuple(each * PIXELS for each in edges)
        yield BoxDraft(where, video_id, timestamp, box, (PIXELS, PIXELS), row.values[5] if is_scored else 1.0)
    if not found:
        yield BoxDraft(f"timestamp {timestamp:.10g}", video_id, timestamp, empty=True)

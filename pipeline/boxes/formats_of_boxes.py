"""Recognise the format of a box file by its content, and read its rows."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.annotations.coco import has_scores
from pipeline.annotations.unread import reasons
from pipeline.base.errors import InputError
from pipeline.base.files import is_unicode, read_json, special_kind
from pipeline.base.problems import Problem
from pipeline.boxes.box_rows import BoxRows
from pipeline.boxes.csv_boxes import read_csv
from pipeline.boxes.detectron import is_detectron, read_detectron
from pipeline.boxes.images import Categories, Images, is_image_list, join_images, read_categories, read_images
from pipeline.boxes.json_boxes import is_box_list, read_box_list
from pipeline.boxes.not_boxes import BESIDE_ANNOTATIONS, SAME, same_as_annotations, why_no_boxes
from pipeline.boxes.proposals import LAYOUT, read_proposals
from pipeline.boxes.yolo import LISTS
from pipeline.interop.pickles import load_pickle

EXPECTED = (
    "proposals as a pickle, boxes as CSV, JSON (AlphAction, COCO), a Detectron pickle or YOLO's text files "
    "(docs/data-layout.md)"
)

OBJECTS_EXPECTED = (
    "objects as CSV, JSON (AlphAction, COCO) or a pickle in the form of proposals (docs/data-layout.md), or "
    "dataset.objects=conf/none/objects for none"
)
REPORTS = ("problems.json", "summary.json")
"Reports that stages write beside their tables; the out of detect_boxes holds them too."
VIDEO_AND_TIME = re.compile(r"[^,\0]+, *[0-9]+(\.[0-9]*)? *(,|$)")


class BoxFiles(NamedTuple):
    """What the files of a folder hold."""

    rows: dict[str, BoxRows]
    "Rows by file name."
    problems: list[Problem]
    "Files of an unknown format."
    left_out: list[tuple[Path, str]]
    "Files of annotations and files that belong to them, each with a description."


def read_box_files(
    folder: Path,
    annotations: Path | None = None,
    *,
    beside: Collection[Path] = (),
    objects: bool = False,
    lists: Sequence[Path] = (),
) -> BoxFiles:
    """Read the rows of every box file of a folder; annotation files beside the boxes are left out.

    Image lists are read first: they say to which keyframe a box in pixels belongs.

    Args:
        folder: the folder of the boxes.
        annotations: the annotation folder; copies of its files under other names are left out as well.
        beside: YOLO's text files and their lists, to skip here; `yolo.py` reads them.
        objects: whether the files hold objects, and no persons.
        lists: further folders with image lists, for boxes in pixels that have none in their own folder.

    Raises:
        InputError: the folder is absent or holds no box file, or one cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {'objects (dataset.objects)' if objects else 'boxes'}")
    passed = {*beside, *(folder / name for name in (*REPORTS, *(LISTS if beside else ())))}
    entries = [path for path in sorted(folder.iterdir()) if path not in passed and path.name[0] != "."]
    problems = [problem for path in entries if (problem := _unreadable(path))]
    paths = [path for path in entries if path.is_file() and is_unicode(path)]
    kinds = {path: _kind(path) for path in paths}
    values = {path: _load(path, kind) for path, kind in kinds.items()}
    none = {path: why for path in paths if (why := why_no_boxes(path, kinds[path], values[path]))}
    images = _images({path: value for path, value in values.items() if kinds[path] == "json"}, values, lists)
    read: dict[Path, BoxRows] = {}
    for path in paths:
        rows = None if path in none else _rows(path, kinds[path], values[path], images, objects)
        if rows is not None:
            read[path] = rows
        elif is_image_list(values[path]):
            if not images.places and path in none:  # no box file needs its images
                continue
            none.pop(path, "")
        elif path not in none:
            problems.append(Problem(path.name, "file", "an unknown format", EXPECTED))
    for path in same_as_annotations(read, annotations) if annotations else []:
        del read[path]
        none[path] = SAME
    if not read and not beside:
        raise InputError(_nothing(folder, paths, none, objects=objects))
    return BoxFiles({path.name: rows for path, rows in read.items()}, problems, sorted(none.items()))


class _Lists(NamedTuple):
    """What the image lists of a folder say."""

    places: Images
    categories: Categories


def _images(lists: dict[Path, Any], values: dict[Path, Any], folders: Sequence[Path]) -> _Lists:
    """Return the images and categories of the folder's lists, if a box file needs them, or of those in `folders`."""
    if not any(is_box_list(value) or is_detectron(value) for value in values.values()):
        return _Lists({}, {})
    plain = _plain_lists(lists)
    for other in folders:
        if not plain and other.is_dir():
            plain = _plain_lists({path: read_json(path) for path in sorted(other.glob("*.json"))})
    images = join_images({path.name: read_images(str(path), value["images"]) for path, value in plain.items()})
    categories: Categories = {}
    for value in plain.values():
        categories = read_categories(value) | categories
    return _Lists(images, categories)


def _plain_lists(values: dict[Path, Any]) -> dict[Path, Any]:
    return {path: value for path, value in values.items() if is_image_list(value) and not has_scores(value)}


def _nothing(folder: Path, paths: Sequence[Path], none: dict[Path, str], *, objects: bool) -> str:
    """Describe, for a message, why a folder has no boxes."""
    if objects:
        found = [path.name for path in paths]
        told = "; ".join(reasons(folder, sorted(none.items()))) or ", ".join(found) or "no file"
        return f"{folder}: found {told}, expected {OBJECTS_EXPECTED}"
    if {*none.values()} - BESIDE_ANNOTATIONS:
        return (
            f"{folder}: no boxes of a detector: {'; '.join(reasons(folder, sorted(none.items())))}. As boxes, "
            f"annotations would find everybody; expected {EXPECTED}, or boxes.detector, which makes them"
        )
    return f"{folder}: found {', '.join(path.name for path in paths) or 'no file'}, expected {EXPECTED}"


def _unreadable(path: Path) -> Problem | None:
    """Return a problem if a path is not a regular file, or its name is not valid Unicode."""
    if not is_unicode(path):
        return Problem(path.name, "file", "a name that is no UTF-8 text", "another name; the file is left out")
    kind = special_kind(path)
    return Problem(path.name, "file", kind, "a file; it is left out") if kind else None


def _kind(path: Path) -> str:
    """Return pickle, json or csv; empty for other files."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 12)
            file.seek(max(0, path.stat().st_size - 1))
            last = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().decode(errors="replace")
    # Pickles of old protocols are text too, but their first line has no comma.
    if head[:1] == b"\x80" or (last == b"." and (b"\0" in head or b"," not in head.split(b"\n")[0])):
        return "pickle"
    if text[:1] in ("[", "{"):
        return "json"
    if path.suffix.lower() == ".csv":  # even if its first rows are wrong, so that they are reported
        return "csv"
    return "csv" if any(VIDEO_AND_TIME.match(line) for line in text.splitlines()[:5]) else ""


def _load(path: Path, kind: str) -> Any:
    return load_pickle(path) if kind == "pickle" else read_json(path) if kind == "json" else None


def _rows(path: Path, kind: str, value: Any, lists: _Lists, objects: bool) -> BoxRows | None:
    """Return the boxes of a file; None if it is not a box file."""
    if kind == "csv":
        return read_csv(path, objects=objects)
    if kind == "pickle":
        if is_detectron(value):
            if objects:
                raise InputError(f"{path}: holds Detectron's boxes of persons, expected {OBJECTS_EXPECTED}")
            return read_detectron(path, value, lists.places)
        if isinstance(value, dict):
            return read_proposals(path, value)
        raise InputError(f"{path}: holds a {type(value).__name__}, expected {LAYOUT}, or Detectron's all_boxes")
    if kind == "json" and is_box_list(value):
        return read_box_list(path, value, lists.places, categories=lists.categories, own=False, objects=objects)
    if kind == "json" and is_image_list(value) and has_scores(value):
        boxes: Sequence[Any] = value["annotations"]
        own = read_images(str(path), value["images"])
        return read_box_list(path, boxes, own, categories=read_categories(value), own=True, objects=objects)
    return None

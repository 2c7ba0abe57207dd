"""Explain the files of an annotation folder that are not read: what they are, and what to do with them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.files import visible_files
from pipeline.base.problems import Problem
from pipeline.tables.csv_rows import read_rows, shown
from pipeline.tables.film_ids import VIDEO_SUFFIXES
from pipeline.tables.label_map import read_label_map

Unread = Sequence[tuple[Path, str]]
"Files that are not read, and why."
MOST_FILES, SHOWN_FILES, SHOWN_REASONS = 200, 3, 8
EXPECTED = "annotations in a format of docs/datasets.md"
NO_CSV = "no AVA CSV, and no CSV of VIA 2 or 3"
NO_JSON = "no COCO-like JSON with images and annotations"
BOXES = "person boxes belong into dataset.proposals"
SAME = "the pickle of tubes holds the same"
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
TABLES = (".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".feather")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
DATA = (".csv", ".json", ".xml", ".pkl", ".pickle", ".eaf", ".boris", *ARCHIVES, *TABLES)
"Endings of files that may hold annotations."
# Keys by which the JSON of other tools is recognised.
_JSON_OF = (
    ({"_via_settings"}, "a project of VIA 2; export the annotations as CSV"),
    ({"_via_img_metadata"}, "a project of VIA 2; export the annotations as CSV"),
    ({"project", "file", "metadata"}, "a project of VIA 3; export the annotations as CSV"),
    ({"items", "categories"}, "Datumaro's JSON; export it as COCO, with images named VIDEO/TIMESTAMP.jpg"),
    ({"shapes", "imagePath"}, "LabelMe's JSON of one image"),
    ({"objects", "frames"}, "Supervisely's JSON of a video; export it as COCO, with images named VIDEO/TIMESTAMP.jpg"),
    ({"observations", "behaviors_conf"}, "a project of BORIS: times without boxes"),
    ({"ontologyHash", "events_observed"}, "a project of BORIS: times without boxes"),
    ({"database"}, "ActivityNet's JSON: stretches of time without boxes"),
    ({"classes"}, "a label map by another name; call it labelmap.json"),
    ({"images"}, "images without annotations"),
)


class NothingReadError(InputError):
    """No file of the annotation folder is read as annotations; `unread` lists its files."""

    def __init__(self, folder: Path, unread: Unread) -> None:
        self.unread = unread
        lines = "; ".join(reasons(folder, unread)) or "there is no file that could be"
        super().__init__(f"{folder}: nothing in it is read as annotations: {lines} (docs/datasets.md has the formats)")


def reasons(folder: Path, unread: Unread) -> list[str]:
    """Return one line per reason, with the files that are not read for it: `a.zip, b.zip: an archive; unpack it`."""
    by_reason = defaultdict(list)
    for path, why in unread:
        by_reason[why].append(path.relative_to(folder).as_posix())
    lines = [f"{_few(names, SHOWN_FILES)}: {why}" for why, names in by_reason.items()]
    rest = sum(map(len, list(by_reason.values())[SHOWN_REASONS:]))
    return [*lines[:SHOWN_REASONS], *([f"{rest} more files"] if rest else [])]


def unread_problems(folder: Path, unread: Unread) -> list[Problem]:
    """Return the unread files as problems, one for each file."""
    return [
        Problem(name, name, why, EXPECTED) for path, why in unread for name in [path.relative_to(folder).as_posix()]
    ]


def may_hold_annotations(path: Path, why: str) -> bool:
    """Return whether leaving the file out may lose labels."""
    return path.suffix.lower() in DATA and why not in (BOXES, SAME)


def below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder inside the annotation folder, which are not read, and why."""
    for path in islice(visible_files(folder), MOST_FILES):
        if path.suffix.lower() in (*DATA, ".txt", ".pbtxt"):
            yield path, "in a folder; put the files side by side"


def why_ending(path: Path) -> str:
    """Return why a file with this ending is not read."""
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        return "an archive; unpack it, and put the files side by side"
    if suffix in VIDEO_SUFFIXES:
        return "a film; it belongs into dataset.videos"
    if suffix in IMAGES:
        return "an image; films are read, and no single frames"
    if suffix in (".eaf", ".boris"):
        return f"{'ELAN' if suffix == '.eaf' else 'BORIS'}'s: times without boxes"
    if suffix in TABLES:
        return "a table that is no CSV"
    if suffix in (".txt", ".pbtxt") and _is_label_map(path):
        return f"a label map by another name; call it labelmap{suffix}"
    return f"the ending {shown(path.suffix)} is none of annotations" if suffix else "a file without an ending"


def why_csv(path: Path) -> str:
    """Return why a CSV file is not read."""
    rows = read_rows(path)
    if not len(rows):
        return "no row"
    first = [rows.column(index)[0].as_py() for index in range(int(rows.widths[0]))]
    lower = {cell.lower() for cell in first}
    if lower & {"behavior", "behavior type"}:
        return "BORIS's table: times without boxes"
    if {"id", "name"} <= lower and _is_label_map(path):
        return "a label map by another name; call it labelmap.csv"
    if len(first) not in (2, 7, 8):
        return f"{NO_CSV} (its first row has {len(first)} columns: {shown(','.join(first))})"
    return f"{NO_CSV} (its first row is {shown(','.join(first))})"


def why_json(content: Any) -> str:
    """Return why a JSON file is not read, judged by its content."""
    if isinstance(content, dict):
        known = next((name for keys, name in _JSON_OF if keys <= content.keys()), "")
        return known or (f"{NO_JSON} (its keys are {_few(list(map(shown, content)), 5)})" if content else NO_JSON)
    first = next(iter(content), None) if isinstance(content, list) else None
    if isinstance(first, dict):
        if "data" in first and first.keys() & {"annotations", "completions", "predictions"}:
            return _why_label_studio(content)
        if {"image_id", "bbox", "score"} <= first.keys():
            return BOXES
        return f"{NO_JSON} (a list whose entries have the keys {_few(list(map(shown, first)), 5)})"
    return f"{NO_JSON} (it holds a {type(content).__name__})"


def _why_label_studio(content: Sequence[Any]) -> str:
    tasks = [each for each in content if isinstance(each, dict)]
    made = [each for task in tasks for each in _dicts(task.get("annotations")) if each.get("result")]
    if made and all(each.get("was_cancelled") for each in made):
        return "Label Studio's JSON, whose annotations were all cancelled (skipped)"
    if not made and any(_dicts(task.get("predictions")) for task in tasks):
        return "Label Studio's JSON with predictions and no annotations; accept them there and export again"
    if not made and any("annotations" in task for task in tasks):
        return "Label Studio's JSON without a label"
    return "Label Studio's JSON of another kind than video with boxes"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _is_label_map(path: Path) -> bool:
    try:
        return bool(read_label_map(path, first_id=0))
    except InputError:
        return False


def _few(names: Iterable[str], most: int) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

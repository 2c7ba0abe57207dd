"""Recognise files in a box folder that are not boxes: annotations and the files that belong to them.

MMAction2 keeps both in one folder (`data/ava/annotations`). Annotations read as boxes would look like a detector that
misses nobody and is always certain.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.annotations.archives import members
from pipeline.annotations.ava import EXCLUDED
from pipeline.annotations.ava_columns import columns_of, read_ava_csv
from pipeline.annotations.class_ids import LABEL_MAPS, PUBLISHED_LABEL_MAPS
from pipeline.annotations.coco import has_scores, is_coco
from pipeline.annotations.formats import KNOWN, recognise
from pipeline.annotations.label_studio import is_label_studio
from pipeline.annotations.ucf101 import is_pyannot
from pipeline.annotations.via import via_header
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file

LISTS = ("ava_included_timestamps_v2.?.txt", "ava_file_names_*.txt")
HEAD = 1 << 16
SAME = "the same file as one of the annotations"
IN_CSV = "annotations (rows with action ids and without scores)"
IN_COCO = "annotations (COCO-like, without scores)"
FILMS, LABEL_MAP, NO_KEYFRAMES, AVA_LIST = "a list of films", "a label map", "excluded keyframes", "a list of AVA's"
BESIDE_ANNOTATIONS = frozenset((FILMS, LABEL_MAP, NO_KEYFRAMES, AVA_LIST))
"Files that belong to annotations but hold none."


def why_no_boxes(path: Path, kind: str, value: Any) -> str:
    """Describe a file that is annotations or belongs to them; return an empty string for other files.

    Args:
        path: the file.
        kind: csv, json, pickle, or empty.
        value: the loaded content of JSON and pickles.
    """
    if why := _by_name(path):
        return why
    if kind == "csv":
        with path.open("rb") as file:
            if via_header(file.read(HEAD).decode("utf-8", "replace")):
                return "annotations (VIA)"
        return IN_CSV if columns_of(read_ava_csv(path)).are_annotations else ""
    if kind == "json":
        if is_coco(value) and not has_scores(value):
            return IN_COCO
        return "annotations (Label Studio)" if is_label_studio(value) else ""
    if kind == "pickle":
        tubes = isinstance(value, dict) and {"gttubes", "labels"} <= value.keys()
        return "annotations (a pickle of tubes)" if tubes or is_pyannot(value) else ""
    return "annotations (CVAT)" if _is_cvat(path) else ""


def _by_name(path: Path) -> str:
    if path.name in KNOWN:
        return FILMS
    if path.name in LABEL_MAPS or any(path.match(each) for each in PUBLISHED_LABEL_MAPS):
        return LABEL_MAP
    if EXCLUDED.fullmatch(path.name):
        return NO_KEYFRAMES
    return AVA_LIST if any(path.match(each) for each in LISTS) else ""


def _is_cvat(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.startswith(b"PK"):
        return b"<annotations" in head
    try:
        return bool(members(path, "annotations.xml"))
    except InputError:
        return False


def same_as_annotations(paths: Iterable[Path], annotations: Path) -> list[Path]:
    """Return the files whose bytes are those of a file that is read as annotations.

    Args:
        paths: the box files.
        annotations: the folder of annotations; nothing is compared where there is none.
    """
    if not annotations.is_dir():
        return []
    by_size: dict[int, list[Path]] = {}
    for path in annotations.iterdir():
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    alike = [(path, other) for path in paths for other in by_size.get(path.stat().st_size, [])]
    alike = [(path, other) for path, other in alike if path.samefile(other) or digest_file(path) == digest_file(other)]
    if not alike:
        return []
    try:
        read = recognise(annotations).files()
    except InputError:
        return []  # import_annotations reports the error
    return [path for path, other in alike if other in read]

"""Recognise the format of each file in an annotation folder by its content."""

import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.annotations.archives import Member, members, whole
from pipeline.annotations.ava import EXCLUDED, annotation_files, excluded_files
from pipeline.annotations.ava_columns import columns_of, header_of, read_ava_csv
from pipeline.annotations.ava_rows import ANNOTATION_WIDTHS
from pipeline.annotations.class_ids import PUBLISHED_LABEL_MAPS, find_label_map
from pipeline.annotations.coco import are_persons_alone, is_coco, with_whole_ids
from pipeline.annotations.frame_times import NAME as FRAME_TIMES
from pipeline.annotations.kinetics import PUBLISHED as KINETICS
from pipeline.annotations.label_studio import has_boxes, is_label_studio
from pipeline.annotations.multisports_tubes import has_published_names, names_files
from pipeline.annotations.ucf101 import is_pyannot
from pipeline.annotations.unread import BOXES, SAME, below, why_csv, why_ending, why_json
from pipeline.annotations.via import via_header
from pipeline.base.errors import InputError
from pipeline.base.files import is_unicode, read_json, special_kind
from pipeline.base.problems import Problem
from pipeline.interop.pickles import load_pickle
from pipeline.tables.csv_rows import numbers, read_rows

KNOWN = ("videos.csv", "split.csv", FRAME_TIMES)
# Files that AVA publishes beside its rows and that are not needed.
COMPANIONS = (*PUBLISHED_LABEL_MAPS, "ava_*_excluded_timestamps_v2.?.csv", "ava_included_timestamps_v2.?.txt")
HEAD = 1 << 16
PROPOSAL_KEY = re.compile(r".+,\s*[0-9]+(\.[0-9]*)?\s*")
NO_TUBES = "no pickle of tubes (person boxes belong into dataset.proposals)"
ENDINGS = (".csv", ".xml", ".zip", ".json", ".pkl", ".pickle")


@dataclass
class Found:
    """The files of a folder by format. `ava` holds the AVA CSVs, whatever their names."""

    ava: list[Path] = field(default_factory=list)
    named: list[Path] = field(default_factory=list)
    "The files of `ava` whose name gives the split, and AVA-Kinetics' files."
    cvat: list[Member] = field(default_factory=list)
    "Files in the folder, in subfolders and in zip archives."
    via: list[Path] = field(default_factory=list)
    coco: list[tuple[Path, Any]] = field(default_factory=list)
    label_studio: list[tuple[Path, Any]] = field(default_factory=list)
    multisports_pickles: list[tuple[Path, Any]] = field(default_factory=list)
    pyannots: list[tuple[Path, Any]] = field(default_factory=list)
    file_csvs: list[Path] = field(default_factory=list)
    "CSVs of AVA rows whose ids are file names, as in MultiSports."
    unread: list[tuple[Path, str]] = field(default_factory=list)
    "Files that are not read, and why."
    problems: list[Problem] = field(default_factory=list)
    "Files that cannot be opened."

    def custom(self) -> bool:
        """Return whether the folder holds anything but AVA's own files."""
        others = [path for path in self.ava if path not in self.named]
        tools = [*self.cvat, *self.via, *self.coco, *self.label_studio]
        return bool(others or tools or self.pickles() or self.file_csvs)

    def pickles(self) -> list[tuple[Path, Any]]:
        """Return the pickles of tubes."""
        return [*self.multisports_pickles, *self.pyannots]

    def files(self) -> list[Path]:
        """Return all files that are read."""
        loaded = [path for path, _ in [*self.coco, *self.label_studio, *self.pickles()]]
        cvat = [each.path for each in self.cvat]
        return sorted([*self.ava, *cvat, *self.via, *loaded, *self.file_csvs])


def recognise(folder: Path) -> Found:
    """Sort the files of a folder by format; hidden files are skipped.

    Raises:
        InputError: a file cannot be read, or AVA-Kinetics stands beside other formats than AVA's.
    """
    found = Found()
    label_map = find_label_map(folder)
    by_name = {*annotation_files(folder).values()}
    excluded = {*excluded_files(folder).values()}
    kinetics = [path for path in sorted(folder.iterdir()) if KINETICS.fullmatch(path.name)]
    skipped = {label_map, *excluded, *kinetics, *(folder / name for name in KNOWN)}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if problem := _unreadable(path):
            found.problems.append(problem)
            continue
        if path in skipped or path.name.startswith(".") or any(path.match(each) for each in COMPANIONS):
            continue
        if path.is_dir():
            _subfolder(path, folder, found)
        elif not path.is_file():
            found.unread.append((path, "no file, or a link to nothing"))
        elif EXCLUDED.fullmatch(path.name):
            found.unread.append((path, "excluded keyframes of no split; its name has to hold train, val or test"))
        elif suffix == ".csv":
            _csv(path, found, by_name)
        elif suffix == ".xml":
            found.cvat.append(whole(path, folder))
        elif suffix == ".zip":
            _archive(path, found)
        elif suffix == ".json":
            content = read_json(path)
            if is_coco(content) and are_persons_alone(content):
                found.unread.append((path, BOXES))
            elif is_coco(content):
                found.coco.append((path, with_whole_ids(content)))
            elif is_label_studio(content) and has_boxes(content):
                found.label_studio.append((path, content))
            else:
                found.unread.append((path, why_json(content)))
        elif suffix in (".pkl", ".pickle"):
            content = load_pickle(path)
            if isinstance(content, dict) and {"gttubes", "labels", "resolution"} <= content.keys():
                found.multisports_pickles.append((path, content))
            elif is_pyannot(content):
                found.pyannots.append((path, content))
            else:
                found.unread.append((path, BOXES if _are_proposals(content) else NO_TUBES))
        else:
            found.unread.append((path, why_ending(path)))
    if found.multisports_pickles:
        same = [path for path in found.file_csvs if has_published_names(path)]
        found.unread += [(path, SAME) for path in same]
        found.file_csvs = [path for path in found.file_csvs if path not in same]
    if kinetics and found.custom():
        other = next(path for path in found.files() if path not in found.named)
        raise InputError(f"{folder}: found {kinetics[0].name} and {other.name}, expected AVA's files alone beside it")
    return found


def _unreadable(path: Path) -> Problem | None:
    """Return a problem if a path with a known ending is not a regular file, or its name is not valid Unicode."""
    if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
        return None
    if not is_unicode(path):
        return Problem(path.name, "file", "a name that is no UTF-8 text", "another name; the file is left out")
    kind = special_kind(path)
    return Problem(path.name, "file", kind, "a file; it is left out") if kind else None


def _csv(path: Path, found: Found, by_name: set[Path]) -> None:
    head = _head(path).decode("utf-8", "replace")
    if via_header(head):
        found.via.append(path)
        return
    if "proposals" in path.stem or "_det_" in path.stem:
        found.unread.append((path, BOXES))
        return
    header = header_of(read_rows(path))
    if path not in by_name and len(header) == 2:  # whatever it lists, a table of two columns holds no boxes
        found.unread.append((path, why_csv(path)))
        return
    if path not in by_name and ("score" in header or columns_of(read_ava_csv(path)).are_boxes):
        found.unread.append((path, BOXES))
        return
    if names_files(path):
        found.file_csvs.append(path)
        return
    if path in by_name:
        found.ava.append(path)
        found.named.append(path)
        return
    rows = read_ava_csv(path)
    if len(rows) and rows.widths[0] in ANNOTATION_WIDTHS and abs(numbers(rows.column(1))[0]) < 1e9:
        found.ava.append(path)
    else:
        found.unread.append((path, why_csv(path)))


def _are_proposals(content: Any) -> bool:
    """Return whether a pickle is a dict of boxes by `video_id,timestamp`."""
    keys = list(islice(content, 10)) if isinstance(content, dict) else []
    return bool(keys) and all(isinstance(key, str) and PROPOSAL_KEY.fullmatch(key) for key in keys)


def _subfolder(folder: Path, root: Path, found: Found) -> None:
    """Take CVAT exports that were unpacked into subfolders; note other files there as not read."""
    read = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".xml" and path.is_file() and b"<annotations" in _head(path)
    ]
    found.cvat += [whole(path, root) for path in read]
    found.unread += [(path, why) for path, why in below(folder) if path not in read]


def _archive(path: Path, found: Found) -> None:
    """Take CVAT exports from an archive as it was downloaded."""
    try:
        names = members(path, "annotations.xml")
    except InputError:
        found.unread.append((path, "no zip archive, or a damaged one: export it again"))
        return
    found.cvat += [Member(path, f"{path.name}/{name}", name) for name in names]
    if not names:
        found.unread.append((path, "a zip archive without CVAT's annotations.xml: unpack it"))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)

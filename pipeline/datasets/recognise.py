"""Which format each file of an annotation folder is of, told by its content."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets.ava import PUBLISHED_EXCLUDED, annotation_files, excluded_files
from pipeline.datasets.ava_rows import ANNOTATION_WIDTHS
from pipeline.datasets.class_ids import find_label_map
from pipeline.datasets.coco import is_coco
from pipeline.datasets.csv_rows import numbers, read_rows
from pipeline.datasets.kinetics import PUBLISHED as KINETICS
from pipeline.datasets.multisports import is_multisports_csv
from pipeline.datasets.via import via_header
from pipeline.errors import InputError
from pipeline.files import is_unicode, read_json, special_kind
from pipeline.interop.pickles import load_pickle
from pipeline.problems import Problem

KNOWN = ("videos.csv", "split.csv")
HEAD = 1 << 16
ENDINGS = (".csv", ".xml", ".json", ".pkl", ".pickle")


@dataclass
class Found:
    """The files of a folder by format; `ava` are AVA CSVs, by whatever name."""

    ava: list[Path] = field(default_factory=list)
    named: list[Path] = field(default_factory=list)
    "Those of `ava` whose name says the split, and AVA-Kinetics' files."
    cvat: list[Path] = field(default_factory=list)
    via: list[Path] = field(default_factory=list)
    coco: list[tuple[Path, Any]] = field(default_factory=list)
    multisports_pickles: list[tuple[Path, Any]] = field(default_factory=list)
    multisports_csvs: list[Path] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    "Files that are passed over, and why."
    problems: list[Problem] = field(default_factory=list)
    "What cannot be opened."

    def custom(self) -> bool:
        """Whether anything but AVA's own files is there."""
        others = [path for path in self.ava if path not in self.named]
        return bool(others or self.cvat or self.via or self.coco or self.multisports_pickles or self.multisports_csvs)

    def files(self) -> list[Path]:
        """All that are read."""
        loaded = [path for path, _ in [*self.coco, *self.multisports_pickles]]
        return sorted([*self.ava, *self.cvat, *self.via, *loaded, *self.multisports_csvs])


def recognise(folder: Path) -> Found:
    """Sort the files of a folder by format. Files of other endings, and hidden ones, are none of ours.

    Raises:
        InputError: a file cannot be read, or AVA-Kinetics stands beside other formats than AVA's.
    """
    found = Found()
    label_map = find_label_map(folder)
    by_name = {*annotation_files(folder).values()}
    excluded = {*excluded_files(folder).values()}
    kinetics = [path for path in sorted(folder.iterdir()) if KINETICS.fullmatch(path.name)]
    skipped = {label_map, *excluded, *kinetics, *(folder / name for name in KNOWN)}
    listed = _listed_ids(folder / "videos.csv")
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if problem := _unreadable(path):
            found.problems.append(problem)
            continue
        if (
            path in skipped
            or not path.is_file()
            or path.name.startswith(".")
            or PUBLISHED_EXCLUDED.fullmatch(path.name)
        ):
            continue
        if suffix == ".csv":
            _csv(path, found, by_name, listed)
        elif suffix == ".xml":
            found.cvat.append(path)
        elif suffix == ".json":
            content = read_json(path)
            if is_coco(content):
                found.coco.append((path, content))
            else:
                found.unread.append((path, "no COCO-like JSON with images and annotations"))
        elif suffix in (".pkl", ".pickle"):
            content = load_pickle(path)
            if isinstance(content, dict) and {"gttubes", "labels", "resolution"} <= content.keys():
                found.multisports_pickles.append((path, content))
            else:
                found.unread.append((path, "no MultiSports pickle (person boxes belong into dataset.proposals)"))
    if found.multisports_pickles and found.multisports_csvs:
        found.unread += [(path, "the pickle of tubes holds the same") for path in found.multisports_csvs]
        found.multisports_csvs = []
    if kinetics and found.custom():
        other = next(path for path in found.files() if path not in found.named)
        raise InputError(f"{folder}: found {kinetics[0].name} and {other.name}, expected AVA's files alone beside it")
    return found


def _unreadable(path: Path) -> Problem | None:
    """A file that is none, or has a name that no table can take; of endings that are read."""
    if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
        return None
    if not is_unicode(path):
        return Problem(path.name, "file", "a name that is no UTF-8 text", "another name; the file is left out")
    kind = special_kind(path)
    return Problem(path.name, "file", kind, "a file; it is left out") if kind else None


def _csv(path: Path, found: Found, by_name: set[Path], listed: set[str]) -> None:
    with path.open("rb") as file:
        head = file.read(HEAD).decode("utf-8", "replace")
    if via_header(head):
        found.via.append(path)
        return
    if "proposals" in path.stem or "_det_" in path.stem:
        found.unread.append((path, "person boxes belong into dataset.proposals"))
        return
    if is_multisports_csv(path) and not listed & {read_rows(path).column(0)[0].as_py()}:
        found.multisports_csvs.append(path)
        return
    if path in by_name:
        found.ava.append(path)
        found.named.append(path)
        return
    rows = read_rows(path)
    if len(rows) and rows.widths[0] in ANNOTATION_WIDTHS and abs(numbers(rows.column(1))[0]) < 1e9:
        found.ava.append(path)
    else:
        found.unread.append((path, "no AVA CSV, and no CSV of VIA 2 or 3"))


def _listed_ids(path: Path) -> set[str]:
    """Ids of videos.csv; what is wrong with it is told elsewhere."""
    return set(read_rows(path).column(0).to_pylist()) if path.exists() else set()

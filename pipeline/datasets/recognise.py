"""Which format each file of an annotation folder is of, told by its content."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets.archives import Member, members, whole
from pipeline.datasets.ava import PUBLISHED_EXCLUDED, annotation_files, excluded_files
from pipeline.datasets.ava_rows import ANNOTATION_WIDTHS
from pipeline.datasets.class_ids import find_label_map
from pipeline.datasets.coco import is_coco
from pipeline.datasets.csv_rows import numbers, read_rows
from pipeline.datasets.frame_times import NAME as FRAME_TIMES
from pipeline.datasets.kinetics import PUBLISHED as KINETICS
from pipeline.datasets.label_studio import has_boxes, is_label_studio
from pipeline.datasets.multisports import is_multisports_csv
from pipeline.datasets.tool_files import foreign_csv, foreign_json
from pipeline.datasets.via import via_header
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.interop.pickles import load_pickle

KNOWN = ("videos.csv", "split.csv", FRAME_TIMES)
HEAD = 1 << 16


@dataclass
class Found:
    """The files of a folder by format; `ava` are AVA CSVs, by whatever name."""

    ava: list[Path] = field(default_factory=list)
    named: list[Path] = field(default_factory=list)
    "Those of `ava` whose name says the split, and AVA-Kinetics' files."
    cvat: list[Member] = field(default_factory=list)
    "In the folder, in subfolders and in zip archives."
    via: list[Path] = field(default_factory=list)
    coco: list[tuple[Path, Any]] = field(default_factory=list)
    label_studio: list[tuple[Path, Any]] = field(default_factory=list)
    multisports_pickles: list[tuple[Path, Any]] = field(default_factory=list)
    multisports_csvs: list[Path] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    "Files that are passed over, and why."

    def custom(self) -> bool:
        """Whether anything but AVA's own files is there."""
        others = [path for path in self.ava if path not in self.named]
        pickles, tools = self.multisports_pickles, [*self.cvat, *self.via, *self.coco, *self.label_studio]
        return bool(others or tools or pickles or self.multisports_csvs)

    def files(self) -> list[Path]:
        """All that are read."""
        loaded = [path for path, _ in [*self.coco, *self.label_studio, *self.multisports_pickles]]
        cvat = [each.path for each in self.cvat]
        return sorted([*self.ava, *cvat, *self.via, *loaded, *self.multisports_csvs])


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
        if path.is_dir() and not path.name.startswith("."):
            _subfolder(path, folder, found)
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
            found.cvat.append(whole(path, folder))
        elif suffix == ".zip":
            _archive(path, found)
        elif suffix == ".json":
            content = read_json(path)
            if is_coco(content):
                found.coco.append((path, content))
            elif is_label_studio(content) and has_boxes(content):
                found.label_studio.append((path, content))
            else:
                known = foreign_json(content) or "no COCO-like JSON with images and annotations"
                found.unread.append((path, known))
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


def _csv(path: Path, found: Found, by_name: set[Path], listed: set[str]) -> None:
    head = _head(path).decode("utf-8", "replace")
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
        found.unread.append((path, foreign_csv(head.partition("\n")[0]) or "no AVA CSV, and no CSV of VIA 2 or 3"))


def _subfolder(folder: Path, root: Path, found: Found) -> None:
    """CVAT's exports that were unpacked into folders of their own; other annotations there are named."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".xml" and path.is_file() and b"<annotations" in _head(path):
            found.cvat.append(whole(path, root))
        elif path.suffix.lower() in (".json", ".csv", ".pkl", ".pickle", ".zip") and path.is_file():
            name = Path(folder.name, path.name)
            found.unread.append((name, "lies in a folder: put the files side by side"))


def _archive(path: Path, found: Found) -> None:
    """CVAT's exports as they were downloaded."""
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


def _listed_ids(path: Path) -> set[str]:
    """Ids of videos.csv; what is wrong with it is told elsewhere."""
    return set(read_rows(path).column(0).to_pylist()) if path.exists() else set()

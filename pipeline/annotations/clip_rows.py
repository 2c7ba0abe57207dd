"""Rows of a data set of clips as its files name them, and the names of its classes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import parse_json, path_bytes
from pipeline.base.problems import Problem, ProblemKind
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED, shown
from pipeline.tables.film_ids import composed, film_of, is_id

_PLACEHOLDER = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class ClipRow:
    """What a file says about one clip."""

    video_id: str
    split: str
    label: int | None
    "The class's id, from 0; None where the split publishes none."
    text: str | None
    "The label text; for SSv2 the sentence with the placeholders filled in."
    file: str
    item: str
    first_frame: int = 0
    "First frame of the film that belongs to the clip."
    frames: int | None = None
    "How many frames the clip has according to the file."


@dataclass
class ReadClips:
    """What was read so far."""

    rows: list[ClipRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    "Rows that are left out."
    notes: list[Problem] = field(default_factory=list)
    "Rows that are kept although something in them is wrong."
    total: int = 0
    "Number of rows, good and bad."

    def refuse(self, file: str, item: str, found: str, expected: str, kind: ProblemKind = "unreadable") -> None:
        """List a row that is left out."""
        self.problems.append(Problem(file, item, found, expected, kind))

    def note(self, file: str, item: str, found: str, expected: str) -> None:
        """List something wrong of a row that is kept."""
        self.notes.append(Problem(file, item, f"{found} (the clip is kept)", expected))

    def add(self, row: ClipRow) -> None:
        """Take a row, if its id can be one."""
        if is_id(row.video_id):
            self.rows.append(row)
        else:
            self.refuse(row.file, row.item, f"the id {shown(row.video_id)}", VIDEO_ID_EXPECTED, "video-id")


class ClassIds:
    """Class ids by name; names are compared without regard to case and to blanks at their ends.

    Args:
        names: name of each class; its place is the class's id. Empty where no file names classes with this id.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._ids = {_spelt(name): number for number, name in enumerate(names) if name}

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str) -> int | None:
        """Return the id of a class; None if there is none of this name."""
        return self._ids.get(_spelt(name))


def _spelt(name: str) -> str:
    return composed(" ".join(name.split())).lower()


def clip_id(name: str) -> str:
    """Return the clip of a file or a folder of frames: `train/12.webm` is clip `12`."""
    return composed(film_of(name.rstrip("/")).rpartition("/")[2])


def filled(template: str) -> tuple[str, int]:
    """Return a template without its brackets, which names a class, and how many placeholders it has."""
    return _PLACEHOLDER.sub(r"\1", template), len(_PLACEHOLDER.findall(template))


def sentence(template: str, placeholders: list[str]) -> str:
    """Return a template with its placeholders filled in."""
    rest = iter(placeholders)
    return _PLACEHOLDER.sub(lambda match: next(rest), template)


def text_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text file that are not blank, with their numbers, from 1.

    Raises:
        InputError: the file cannot be read, or is not UTF-8 text.
    """
    try:
        lines = path_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def read_class_names(path: Path) -> ClassIds:
    """Read the classes of a data set: a name a line (`.csv`, `.txt`), whose place is the id, or JSON {name: id}.

    Raises:
        InputError: the file is empty or has another form, or two classes have the same name or id.
    """
    if path.suffix.lower() != ".json":
        return _named(path, [(name, number) for number, (_, name) in enumerate(text_lines(path))])
    content = parse_json(path_bytes(path), str(path))
    try:
        return _named(path, [(str(name), int(number)) for name, number in content.items()])
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: expected a JSON object of class names and ids, {{name: id}}") from None


def _named(path: Path, listed: Iterable[tuple[str, int]]) -> ClassIds:
    names: dict[int, str] = {}
    spelt: dict[str, str] = {}
    for name, number in listed:
        if number in names or number < 0:
            fault = f"also {names[number]!r}" if number in names else "expected ids from 0"
            raise InputError(f"{path}: class {name!r} has id {number}, {fault}")
        if _spelt(name) in spelt:
            raise InputError(f"{path}: two classes are named {name!r}")
        names[number], spelt[_spelt(name)] = name, name
    if not names or max(names) >= 100_000:
        raise InputError(f"{path}: expected class names with ids from 0 to 99999")
    return ClassIds([names.get(number, "") for number in range(max(names) + 1)])

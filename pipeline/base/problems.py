"""Bad items of a stage: list each, count all, and go on with the others."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.base.errors import InputError, one_line
from pipeline.base.files import read_json, write_json

LONGEST_PART = 1000
MOST_PRINTED = 10

ProblemKind = Literal[
    "box-in-pixels",  # a box whose corners are pixels, where shares of the frame are expected
    "box-outside",  # a box that reaches outside the frame
    "box-inverted",  # a box whose corners are in the wrong order
    "box-zero-area",  # a box without width or height
    "repeated",  # a row that repeats an earlier one
    "conflicting",  # a row that contradicts an earlier one
    "before-film",  # a row whose time lies before its film begins
    "video-id",  # a video id that cannot be the name of a file
    "unknown-action",  # an action id or name that is not among the classes
    "unknown-film",  # boxes of a film that the annotations do not name
    "in-two-files",  # boxes that another file holds too
    "shape-not-read",  # a person drawn with a shape from which no box can be read
    "film-empty",  # a film of zero bytes
    "film-without-video",  # a media file without a video stream
    "unreadable",  # anything else
]
"""What is wrong with an item, for code: the maker of a problem sets it, and no code parses the message for it."""


@dataclass(frozen=True)
class Problem:
    """One bad item: its file and place, what was found and what was expected."""

    file: str
    item: str  # video id, "row 17", ...
    found: str
    expected: str
    kind: ProblemKind = "unreadable"  # in memory only: not in `problems.json`

    def __post_init__(self) -> None:
        """Bring foreign text to one printable line."""
        for name in ("file", "item", "found", "expected"):
            object.__setattr__(self, name, one_line(getattr(self, name), LONGEST_PART))

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.file}: {self.item}: found {self.found}, expected {self.expected}"

    def written(self) -> dict[str, str]:
        """Return the problem as `problems.json` holds it."""
        return {"file": self.file, "item": self.item, "found": self.found, "expected": self.expected}


class Fault(NamedTuple):
    """What is wrong with an item; the caller knows its file and place."""

    found: str
    expected: str
    kind: ProblemKind = "unreadable"


def read_problems(path: Path) -> list[Problem]:
    """Read the problems that a stage listed.

    Raises:
        InputError: the file is absent or not as `report_problems` writes it.
    """
    content = read_json(path)
    listed = content.get("problems") if isinstance(content, dict) else None
    fields = {"file", "item", "found", "expected"}
    if not isinstance(listed, list) or not all(
        isinstance(each, dict) and each.keys() == fields and all(isinstance(text, str) for text in each.values())
        for each in listed
    ):
        raise InputError(f"{path}: is not the list of problems that a stage writes; run the stage again")
    return [Problem(**each) for each in listed]


def print_first(problems: Sequence[Problem]) -> None:
    """Print the first problems to standard error; `problems.json` holds all of them."""
    for problem in problems[:MOST_PRINTED]:
        print(problem, file=sys.stderr)


def report_problems(
    problems: Sequence[Problem],
    *,
    total: int,
    max_bad_fraction: float,
    folder: Path,
    unit: str,
    key: str,
    missing: Sequence[Problem] = (),
    bad: int | None = None,
) -> None:
    """Write `problems.json` into a stage's out, and end the stage if too many items are bad.

    Args:
        problems: the bad items, in a deterministic order.
        total: how many items there were, good and bad.
        max_bad_fraction: the largest share of bad items that is accepted; 0 accepts none.
        folder: the stage's out.
        unit: what an item is, in the plural ("videos", "rows").
        key: the name of the parameter that sets `max_bad_fraction`.
        missing: items that were named but never delivered; they are written, but not counted as bad.
        bad: how many of the items are bad, where a problem may stand for several; None counts the problems.

    Raises:
        InputError: the share of bad items is above `max_bad_fraction`.
    """
    written: dict[str, object] = {"total": total, "problems": [each.written() for each in problems]}
    if missing:
        written["missing"] = [each.written() for each in missing]
    write_json(folder / "problems.json", written)
    bad = len(problems) if bad is None else bad
    if total and bad / total > max_bad_fraction:
        raise InputError(
            f"{bad} of {total} {unit} are bad, more than {key} {max_bad_fraction:g} lets pass; the first: {problems[0]}"
        )

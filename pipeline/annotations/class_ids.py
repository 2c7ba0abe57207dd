"""The numbers and names of classes as sources give them, brought to ids from 1 on in one place."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import Floats, shown
from pipeline.tables.film_ids import composed
from pipeline.tables.label_map import Label, read_label_map

LABEL_MAPS = ("labelmap.pbtxt", "labelmap.csv", "labelmap.txt", "labelmap.json", "label_map.txt")
# The 60 classes that are evaluated go before the 80 of the same version.
PUBLISHED_LABEL_MAPS = ("ava_action_list_v2*_for_activitynet_*.pbtxt*", "ava_action_list_v2*.pbtxt*")
# To look for a name that is like another one takes a millisecond and more: a file of names that are none has too many.
MOST_HINTS, LONGEST_NAME = 500, 100
# What annotation tools write where nobody chose anything.
NO_ACTION = frozenset(("", "none", "null", "undefined", "__undefined__", "_default", "default", "background"))


class ShiftedIdsError(InputError):
    """All action ids of a source seem to be off by one; `found` and `expected` are their ranges, ends and all."""

    def __init__(self, where: Path, found: tuple[int, int], expected: tuple[int, int], remedy: str) -> None:
        ids, wanted = (f"{first} to {last}" for first, last in (found, expected))
        super().__init__(f"{where}: action ids go from {ids}, expected {wanted}: all would be off by one; {remedy}")
        self.found = found
        self.expected = expected


class TooManyClassesError(InputError):
    """Class ids go up to `largest`, which is above dataset.classes."""

    def __init__(self, where: Path, largest: int, classes: int) -> None:
        super().__init__(f"{where}: class ids go to {largest}, expected 1 to {classes} (dataset.classes)")
        self.largest = largest


class ClassNamesError(InputError):
    """A label map gives an id another name than the annotations do."""


def find_label_map(folder: Path) -> Path:
    """The label map of a folder: by a short name, or as AVA publishes it; `labelmap.pbtxt` where there is none.

    Raises:
        InputError: there are two.
    """
    for names in (LABEL_MAPS, *((pattern,) for pattern in PUBLISHED_LABEL_MAPS)):
        found = sorted({path for name in names for path in folder.glob(name)})
        if len(found) > 1:
            raise InputError(f"{folder}: found {' and '.join(path.name for path in found)}, expected one label map")
        if found:
            return found[0]
    return folder / LABEL_MAPS[0]


def read_shifted_label_map(path: Path) -> tuple[list[Label], int]:
    """The classes with ids from 1 on, and the file's own first id: 0 where it lists an id 0, else 1.

    Raises:
        InputError: see `read_label_map`.
    """
    labels = read_label_map(path, first_id=0)
    if labels[0].id > 0:
        return labels, 1
    return [replace(label, id=label.id + 1) for label in labels], 0


def check_shift(where: Path, numbers: Floats, *, first_id: int, classes: int) -> None:
    """Refuse a source all of whose ids seem to be off by one.

    Args:
        where: the file.
        numbers: its action ids as they stand there; NaN where a row has none.
        first_id: what the ids are taken to begin with, 0 or 1.
        classes: how many there are.

    Raises:
        ShiftedIdsError: ids begin at the other number and none reaches the last one.
    """
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return
    low, high = int(numbers.min()), int(numbers.max())
    if (low, first_id) == (0, 1) and high < classes:
        remedy = "dataset.first_id: 0 says that they count from 0, dataset.first_id: 1 leaves out the rows of 0"
        raise ShiftedIdsError(where, (0, high), (1, classes), remedy)
    if first_id == 0 and low > 0 and high == classes:
        remedy = "dataset.first_id: 1 says that they count from 1"
        raise ShiftedIdsError(where, (low, high), (0, classes - 1), remedy)


def check_count(where: Path, labels: Sequence[Label], classes: int) -> None:
    """Refuse classes of more ids than the classifier has.

    Raises:
        TooManyClassesError: an id is above `classes`.
    """
    largest = max(label.id for label in labels)
    if largest > classes:
        raise TooManyClassesError(where, largest, classes)


def check_names(map_path: Path, labels: Sequence[Label], source: Path, own: Sequence[Label]) -> None:
    """Refuse a label map whose names are not those that the source itself gives its ids.

    Raises:
        ClassNamesError: an id has two names.
    """
    mine, theirs = ({label.id: spelt(label.name) for label in each} for each in (labels, own))
    wrong = sorted(each for each in mine.keys() & theirs.keys() if mine[each] != theirs[each])
    if not wrong:
        return
    first = wrong[0]
    shifts = [step for step in (1, -1) if all(theirs.get(each + step, mine[each]) == mine[each] for each in mine)]
    why = ": the label map is off by one" if shifts else f" ({len(wrong)} such ids)"
    raise ClassNamesError(f"{map_path}: id {first} is {mine[first]!r}, and {theirs[first]!r} in {source.name}{why}")


def spelt(name: str) -> str:
    """A name for comparison: case, how accents are stored, and blanks or underscores do not matter."""
    return " ".join(composed(name).lower().replace("_", " ").split())


class ClassNames:
    """Ids of classes by name."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.labels = list(labels)
        self._ids = {spelt(label.name): label.id for label in labels}
        self._close: dict[str, list[str]] = {}

    def find(self, name: str) -> int | None:
        """The id; None for a name that is no class."""
        return self._ids.get(spelt(name))

    def expected(self, name: str) -> str:
        """What could have stood in place of a name that is no class."""
        key = spelt(name)[:LONGEST_NAME]
        if key not in self._close and len(self._close) < MOST_HINTS:
            self._close[key] = get_close_matches(key, list(self._ids), n=1)
        close = self._close.get(key)
        names = ", ".join(label.name for label in self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return f"a class of the label map: {names}" + (f" (is it {shown(close[0])}?)" if close else "")

"""Bring the numbers and names of classes from any source to ids that start at 1."""

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
# The map of the 60 evaluated classes is preferred to the map of all 80 of the same version.
PUBLISHED_LABEL_MAPS = ("ava_action_list_v2*_for_activitynet_*.pbtxt*", "ava_action_list_v2*.pbtxt*")
# Searching for a similar name takes more than a millisecond, so a file with many unknown names gets few hints.
MOST_HINTS, LONGEST_NAME = 500, 100
# Values that annotation tools write if the annotator chose nothing.
NO_ACTION = frozenset(("", "none", "null", "undefined", "__undefined__", "_default", "default", "background"))


class ShiftedIdsError(InputError):
    """All action ids of a source seem to be off by one. `found` and `expected` are (first, last), both inclusive."""

    def __init__(self, where: Path, found: tuple[int, int], expected: tuple[int, int], remedy: str) -> None:
        ids, wanted = (f"{first} to {last}" for first, last in (found, expected))
        super().__init__(f"{where}: action ids go from {ids}, expected {wanted}: all would be off by one; {remedy}")
        self.found = found
        self.expected = expected


class TooManyClassesError(InputError):
    """The largest class id, `largest`, is above dataset.classes."""

    def __init__(self, where: Path, largest: int, classes: int) -> None:
        super().__init__(f"{where}: class ids go to {largest}, expected 1 to {classes} (dataset.classes)")
        self.largest = largest


class ClassNamesError(InputError):
    """The label map and the annotations give one id different names."""


def find_label_map(folder: Path) -> Path:
    """Return the label map of a folder, by a short or a published name; `labelmap.pbtxt` if there is none.

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
    """Return the classes with ids from 1, and the file's own first id: 0 if it lists an id 0, else 1.

    Raises:
        InputError: see `read_label_map`.
    """
    labels = read_label_map(path, first_id=0)
    if labels[0].id > 0:
        return labels, 1
    return [replace(label, id=label.id + 1) for label in labels], 0


def check_shift(where: Path, numbers: Floats, *, first_id: int, classes: int) -> None:
    """Raise an error if all action ids of a source seem to be off by one.

    Args:
        where: the file, for messages.
        numbers: its action ids, unchanged; NaN for a row without one.
        first_id: the assumed first id, 0 or 1.
        classes: number of classes.

    Raises:
        ShiftedIdsError: the ids start at the other number, and the last expected id does not occur.
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
    """Check that no class id is larger than the classifier is wide.

    Raises:
        TooManyClassesError: an id is above `classes`.
    """
    largest = max(label.id for label in labels)
    if largest > classes:
        raise TooManyClassesError(where, largest, classes)


def check_names(map_path: Path, labels: Sequence[Label], source: Path, own: Sequence[Label]) -> None:
    """Check that the label map gives each id the same name as the source does.

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
    """Return a name in the form used for comparison: case, accent encoding, blanks and underscores do not matter."""
    return " ".join(composed(name).lower().replace("_", " ").split())


class ClassNames:
    """Ids of classes by name."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.labels = list(labels)
        self._ids = {spelt(label.name): label.id for label in labels}
        self._close: dict[str, list[str]] = {}

    def find(self, name: str) -> int | None:
        """Return the id of a class, or None if the name is not a class."""
        return self._ids.get(spelt(name))

    def expected(self, name: str) -> str:
        """Describe, for a message, which names were expected in place of one that is not a class."""
        key = spelt(name)[:LONGEST_NAME]
        if key not in self._close and len(self._close) < MOST_HINTS:
            self._close[key] = get_close_matches(key, list(self._ids), n=1)
        close = self._close.get(key)
        names = ", ".join(label.name for label in self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return f"a class of the label map: {names}" + (f" (is it {shown(close[0])}?)" if close else "")

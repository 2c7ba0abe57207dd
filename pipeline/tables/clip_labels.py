"""The classes of a data set of clips, and which class a mirrored clip belongs to: `labels.json`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json

_SIDES = {"left": "right", "right": "left", "clockwise": "counterclockwise", "counterclockwise": "clockwise"}
# Something-Something has a class "... pulling it right out as you remove your hand", which says no side.
_SIDE = re.compile(rf"\b({'|'.join(_SIDES)})\b(?! out\b)", re.IGNORECASE)


@dataclass(frozen=True)
class ClipLabels:
    """Classes and flips."""

    names: list[str]
    "Name of each class; its place is the class's id."
    flips: Mapping[int, int]
    "Id of the class that the mirror image of a class shows, for classes whose mirror image shows another one."
    one_sided: frozenset[int] = frozenset()
    "Classes whose names say a side, and whose mirror image shows none of the classes: their clips must not be flipped."


def label_classes(names: list[str]) -> ClipLabels:
    """Derive the flips from names: left and right change places, and so do clockwise and counterclockwise."""
    ids = {name.lower(): number for number, name in enumerate(names)}
    flips: dict[int, int] = {}
    one_sided = []
    for number, name in enumerate(names):
        mirrored = mirrored_name(name).lower()
        if mirrored == name.lower():
            continue
        if mirrored in ids:
            flips[number] = ids[mirrored]
        else:
            one_sided.append(number)
    return ClipLabels(names, flips, frozenset(one_sided))


def mirrored_name(name: str) -> str:
    """Return a name with its sides exchanged."""
    return _SIDE.sub(lambda match: _SIDES[match[1].lower()], name)


def write_clip_labels(path: Path, classes: ClipLabels) -> None:
    """Write `labels.json`."""
    write_json(
        path,
        {
            "classes": [{"id": number, "name": name} for number, name in enumerate(classes.names)],
            "flips": {str(number): other for number, other in sorted(classes.flips.items())},
            "one_sided": sorted(classes.one_sided),
        },
    )


def read_clip_labels(path: Path) -> ClipLabels:
    """Read `labels.json`.

    Raises:
        InputError: the file is absent or not as `write_clip_labels` writes it.
    """
    content = read_json(path)
    try:
        names = [str(each["name"]) for each in content["classes"]]
        flips = {int(number): int(other) for number, other in content["flips"].items()}
        one_sided = frozenset(int(each) for each in content["one_sided"])
        numbers = [each["id"] for each in content["classes"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        numbers, names, flips, one_sided = [None], [], {}, frozenset()
    known = range(len(names))
    if numbers != list(known) or not all(each in known for each in (*flips, *flips.values(), *one_sided)):
        raise InputError(f"{path}: is not the list of classes that import_labels writes; run it again")
    return ClipLabels(names, flips, one_sided)

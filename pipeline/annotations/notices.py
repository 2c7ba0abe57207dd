"""Notices of annotations that a reader saw but that gave no row, although they are no fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.base.problems import Problem

SHOWN = 3
Kind = Literal[
    "attribute-ignored",  # attributes that do not seem to name an action
    "label-without-attribute",  # tracks of a label that has none of the attributes that name actions
    "without-action",  # persons at keyframes who do none of the actions
    "boxes-unmet",  # boxes between two keyframes, so that no keyframe shows them
    "frames-deleted",  # keyframes whose frames were removed from the task
    "several-annotators",  # further annotations of the same film
    "without-box",  # labels of a stretch of time or of a whole frame
]


@dataclass(frozen=True)
class Notice:
    """One kind of notice in one file. `import_annotations` prints it, the doctor explains it."""

    kind: Kind
    problem: Problem
    count: int = 1
    "Number of attributes, tracks, boxes or keyframes."


def without_action(file: str, places: Sequence[str]) -> list[Notice]:
    """Return a notice of boxes at keyframes that have no action and so give no row.

    Args:
        file: the file that holds them.
        places: where in the file they are.
    """
    if not places:
        return []
    where = ", ".join(places[:SHOWN]) + (", ..." if len(places) > SHOWN else "")
    problem = Problem(file, where, f"{len(places)} boxes without an action", "an action of every person who does one")
    return [Notice("without-action", problem, len(places))]

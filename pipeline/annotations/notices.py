"""What a reader saw in annotations and did not turn into rows, though no row of them is at fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.base.problems import Problem

SHOWN = 3
Kind = Literal[
    "attribute-ignored",  # attributes that name no action, as far as can be told
    "label-without-attribute",  # tracks of a label that has none of the attributes that name actions
    "without-action",  # persons at keyframes who do none of the actions
    "boxes-unmet",  # boxes that are seen only between two keyframes
    "frames-deleted",  # keyframes at frames that were taken out of the task
    "several-annotators",  # further annotations of the same film
    "without-box",  # labels of stretches of time or of whole frames
]


@dataclass(frozen=True)
class Notice:
    """One kind of it in one file. `import_annotations` prints it, the doctor explains it."""

    kind: Kind
    problem: Problem
    count: int = 1
    "How many attributes, tracks, boxes or keyframes."


def without_action(file: str, places: Sequence[str]) -> list[Notice]:
    """Boxes at keyframes that no action is told of; they give no row.

    Args:
        file: that they stand in.
        places: where they stand in it.
    """
    if not places:
        return []
    where = ", ".join(places[:SHOWN]) + (", ..." if len(places) > SHOWN else "")
    problem = Problem(file, where, f"{len(places)} boxes without an action", "an action of every person who does one")
    return [Notice("without-action", problem, len(places))]

"""What a reader saw in annotations and did not turn into rows, though no row of them is at fault."""

from dataclasses import dataclass
from typing import Literal

from pipeline.problems import Problem

Kind = Literal[
    "attribute-ignored",  # attributes that name no action, as far as can be told
    "label-without-attribute",  # tracks of a label that has none of the attributes that name actions
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

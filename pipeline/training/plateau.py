"""Whether a training has come to rest: a function of its history, so that a resumed one stops where it would have."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.training.history import Metrics


@dataclass(frozen=True)
class Plateau:
    """Validations since the last rise of the mAP."""

    epoch: int = 0  # of the last rise, from 1; 0 before the first validation
    map: float = -math.inf  # what it rose to
    since: int = 0  # validations after it


def selection_score(row: Metrics) -> float:
    """The mAP of a validated epoch as a number that compares: below every mAP where it has none."""
    score = row["map"]
    return -1.0 if score is None or math.isnan(score) else float(score)


def find_plateau(history: Sequence[Metrics], min_delta: float) -> Plateau:
    """Where a training stands.

    Args:
        history: a row per epoch, see `Fitted`; those without `map` were not validated.
        min_delta: a rise is above the mAP of the last one by more than this; the first validation is one.
    """
    found = Plateau()
    for row in history:
        if "map" not in row:
            continue
        score = selection_score(row)
        if score > found.map + min_delta:
            found = Plateau(row["epoch"], score)
        else:
            found = Plateau(found.epoch, found.map, found.since + 1)
    return found

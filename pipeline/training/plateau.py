"""Detect that the validation mAP no longer rises, from the history alone: a resumed training stops equally early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.training.history import Metrics


@dataclass(frozen=True)
class Plateau:
    """Validations since the last rise of the mAP."""

    epoch: int = 0  # epoch of the last rise, from 1; 0 before the first validation
    map: float = -math.inf  # mAP after the last rise
    since: int = 0  # validations after the last rise


def selection_score(row: Metrics) -> float:
    """Return the mAP of a validated epoch as a number to compare; -1, below every mAP, if it has none."""
    score = row["map"]
    return -1.0 if score is None or math.isnan(score) else float(score)


def find_plateau(history: Sequence[Metrics], min_delta: float) -> Plateau:
    """Find the last rise of the mAP, and count the validations since then.

    Args:
        history: a row per epoch, see `Fitted`; rows without `map` were not validated.
        min_delta: a mAP counts as a rise if it exceeds that of the last rise by more than this; the first always
            counts.
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

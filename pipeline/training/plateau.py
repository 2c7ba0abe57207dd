"""Detect that the validation no longer gets better, from the history alone: a resumed training stops equally early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.training.history import Metrics


@dataclass(frozen=True)
class Plateau:
    """Validations since the last rise of their headline."""

    epoch: int = 0  # epoch of the last rise, from 1; 0 before the first validation
    score: float = -math.inf  # the headline after the last rise
    since: int = 0  # validations after the last rise


def selection_score(row: Metrics, headline: str = "map") -> float:
    """Return the headline of a validated epoch as a number to compare; -1, below every one, if it has none."""
    score = row[headline]
    return -1.0 if score is None or math.isnan(score) else float(score)


def find_plateau(history: Sequence[Metrics], min_delta: float, headline: str = "map") -> Plateau:
    """Find the last rise of the headline, and count the validations since then.

    Args:
        history: a row per epoch, see `Fitted`; rows without the headline were not validated.
        min_delta: a score counts as a rise if it exceeds that of the last rise by more than this; the first always
            counts.
        headline: the number of a validation that counts, `map` or `top1`.
    """
    found = Plateau()
    for row in history:
        if headline not in row:
            continue
        score = selection_score(row, headline)
        if score > found.score + min_delta:
            found = Plateau(row["epoch"], score)
        else:
            found = Plateau(found.epoch, found.score, found.since + 1)
    return found

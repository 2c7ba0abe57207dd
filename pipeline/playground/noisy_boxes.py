"""Make boxes like those of a detector of persons and objects: jitter, misses, false positives and scores.

No draw depends on what a figure does, so that proposals say nothing about labels. Objects have draws of their own.
"""

from typing import NamedTuple

import numpy as np

from pipeline.playground.chance import stream
from pipeline.playground.script import Script

# Standard deviation of each edge, as a fraction of the box's side: most IoUs with the true box are 0.8 to 0.95.
JITTER = 0.025
MISSED, UNSURE = 0.02, 0.03  # shares of persons without a box, and with a score below 0.9
FALSE_POSITIVES = 0.3  # per second, on average
SURE_FALSE_POSITIVES = 0.08  # share of these with a score of at least 0.9
DECIMALS = 4
PERSON_SIDES = ((0.08, 0.25), (0.2, 0.55))  # ranges of width and height of false positives, as shares of the frame
OBJECT_SIDES = ((0.05, 0.12), (0.05, 0.13))
OBJECT_LABELS = {"ball": "sports ball", "kite": "kite"}
"What COCO calls the things in the sky."


class FoundObjects(NamedTuple):
    """The objects of one second, by descending score."""

    labels: list[str]
    "[N], the class of each."
    rows: np.ndarray
    "float64 [N, 5]: x1, y1, x2, y2, score."


def detect(script: Script, seed: int, boxes: np.ndarray) -> list[np.ndarray]:
    """Return the proposals of every second of a film.

    Args:
        script: the film.
        seed: the data set's seed.
        boxes: the true boxes at the keyframes, xyxy normalised, [seconds, figures, 4].

    Returns:
        float64 [N, 5] per second: x1, y1, x2, y2, score; sorted by descending score.
    """
    rng = stream(seed, script.split, script.index, "detector")
    found = []
    for second, truth in enumerate(boxes):
        seen, there = _seen(rng, truth)
        seen = seen[there]
        if second in script.empty:
            seen = seen[:0]
        rows = _rounded(np.concatenate([seen, _false_positives(rng, PERSON_SIDES)]))
        found.append(rows[_by_score(rows)])
    return found


def detect_objects(script: Script, seed: int, boxes: np.ndarray, shown: np.ndarray) -> list[FoundObjects]:
    """Return the boxes of things in the sky in every second of a film, as a detector finds them.

    Args:
        script: the film.
        seed: the data set's seed.
        boxes: the true boxes of the script's things in the sky at the keyframes, xyxy normalised, [seconds, things, 4].
        shown: bool [seconds, things]: whether a thing is there.
    """
    rng = stream(seed, script.split, script.index, "object detector")
    known = list(OBJECT_LABELS.values())
    names = np.array([OBJECT_LABELS[each.kind] for each in script.sky], np.str_)
    found = []
    for truth, live in zip(boxes, shown, strict=True):
        seen, there = _seen(rng, truth[live])
        false = _false_positives(rng, OBJECT_SIDES)
        labels = [
            *names[live][there].tolist(),
            *(known[int(each)] for each in rng.integers(len(known), size=len(false))),
        ]
        rows = _rounded(np.concatenate([seen[there], false]))
        order = _by_score(rows)
        found.append(FoundObjects([labels[place] for place in order], rows[order]))
    return found


def _seen(rng: np.random.Generator, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy box with its score for each true box [N, 4], [N, 5], and whether it is found, bool [N]."""
    fate = rng.uniform(size=len(truth))
    score = np.where(
        fate < MISSED + UNSURE,
        rng.uniform(0.2, 0.9, len(truth)),
        1 - np.minimum(np.abs(rng.normal(0, 0.02, len(truth))), 0.1),
    )
    side = np.tile(truth[:, 2:] - truth[:, :2], 2)
    return np.column_stack([truth + JITTER * side * rng.normal(size=truth.shape), score]), fate >= MISSED


def _rounded(rows: np.ndarray) -> np.ndarray:
    rows[:, :4] = np.clip(rows[:, :4], 0, 1)
    # Round here, once: then a CSV holds exactly the same numbers as a pickle.
    return np.round(rows, DECIMALS)


def _by_score(rows: np.ndarray) -> np.ndarray:
    return np.lexsort([*rows[:, :4].T, -rows[:, 4]])


def _false_positives(rng: np.random.Generator, sides: tuple[tuple[float, float], tuple[float, float]]) -> np.ndarray:
    count = int(rng.poisson(FALSE_POSITIVES))
    size = np.stack([rng.uniform(*side, count) for side in sides], 1)
    corner = rng.uniform(size=(count, 2)) * (1 - size)
    sure = rng.uniform(size=count) < SURE_FALSE_POSITIVES
    score = np.where(sure, rng.uniform(0.9, 0.97, count), rng.uniform(0.05, 0.9, count))
    return np.column_stack([corner, corner + size, score])

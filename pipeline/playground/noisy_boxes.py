"""Make boxes like those of a person detector: jitter, misses, false positives and scores.

No draw depends on what a figure does, so that proposals say nothing about labels.
"""

import numpy as np

from pipeline.playground.chance import stream
from pipeline.playground.script import Script

# Standard deviation of each edge, as a fraction of the box's side: most IoUs with the true box are 0.8 to 0.95.
JITTER = 0.025
MISSED, UNSURE = 0.02, 0.03  # shares of persons without a box, and with a score below 0.9
FALSE_POSITIVES = 0.3  # per second, on average
SURE_FALSE_POSITIVES = 0.08  # share of these with a score of at least 0.9
DECIMALS = 4


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
        fate = rng.uniform(size=len(truth))
        score = np.where(
            fate < MISSED + UNSURE,
            rng.uniform(0.2, 0.9, len(truth)),
            1 - np.minimum(np.abs(rng.normal(0, 0.02, len(truth))), 0.1),
        )
        side = np.tile(truth[:, 2:] - truth[:, :2], 2)
        seen = np.column_stack([truth + JITTER * side * rng.normal(size=truth.shape), score])
        seen = seen[fate >= MISSED]
        if second in script.empty:
            seen = seen[:0]
        rows = np.concatenate([seen, _false_positives(rng)])
        rows[:, :4] = np.clip(rows[:, :4], 0, 1)
        # Round here, once: then a CSV holds exactly the same numbers as a pickle.
        rows = np.round(rows, DECIMALS)
        found.append(rows[np.lexsort([*rows[:, :4].T, -rows[:, 4]])])
    return found


def _false_positives(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.poisson(FALSE_POSITIVES))
    size = np.stack([rng.uniform(0.08, 0.25, count), rng.uniform(0.2, 0.55, count)], 1)
    corner = rng.uniform(size=(count, 2)) * (1 - size)
    sure = rng.uniform(size=count) < SURE_FALSE_POSITIVES
    score = np.where(sure, rng.uniform(0.9, 0.97, count), rng.uniform(0.05, 0.9, count))
    return np.column_stack([corner, corner + size, score])

"""Choose the seconds of which a model is least certain: to correct these teaches it most.

How uncertain a second is: each score is moved to a probability that is 1/2 at the threshold of its class (straight
lines from 0 to the threshold and from there to 1), whose binary entropy is 1 bit at the threshold and 0 at the ends.
Of those between 0.2 and 0.8, which are near the threshold, the bits of a person are summed over the classes, and of
the persons of a second the mean is taken, so that a crowd is not chosen for its number.

Neighbouring seconds show the same persons doing the same. So the seconds are chosen one after another, the one with the
largest product first: of its bits, of the time to the nearest chosen second of its film (over 5 s; at most 1), and of
1 / (1 + n / share), where n seconds of its film are chosen already and `share` is how many each film would have if all
had the same number. Equal products go by film and time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.predict.scored_seconds import ScoredSecond

SPREAD_SECONDS = 5.0
NEAR = (0.2, 0.8)


def uncertainty(second: ScoredSecond, thresholds: NDArray[np.float64]) -> float:
    """Return how uncertain a second is, in bits per person.

    Args:
        second: at least one person.
        thresholds: [classes].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 0.5 * second.scores / thresholds
        above = 0.5 + 0.5 * (second.scores - thresholds) / (1 - thresholds)
    p = np.where(second.scores < thresholds, below, np.where(thresholds < 1, above, 0.5))
    near = (second.scores > 0) & (p >= NEAR[0]) & (p <= NEAR[1])
    p = np.where(near, p, 0.5)
    bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return float(np.where(near, bits, 0.0).sum(axis=1).mean())


def least_certain(seconds: Sequence[ScoredSecond], thresholds: NDArray[np.float64], count: int) -> list[ScoredSecond]:
    """Return `count` seconds (all where there are not so many), in the order of `seconds`.

    Args:
        seconds: sorted by film and time.
        thresholds: [classes].
        count: how many.
    """
    bits = np.array([uncertainty(each, thresholds) for each in seconds])
    times = np.array([each.time_seconds for each in seconds])
    films, film = np.unique([each.video_id for each in seconds], return_inverse=True)
    count = min(count, len(seconds))
    share = count / max(len(films), 1)
    distance = np.full(len(seconds), SPREAD_SECONDS)  # to the nearest chosen second of the film
    chosen_of_film = np.zeros(len(films))
    chosen = np.zeros(len(seconds), bool)
    for _ in range(count):
        gain = bits * np.minimum(distance / SPREAD_SECONDS, 1.0) / (1 + chosen_of_film[film] / share)
        best = int(np.argmax(np.where(chosen, -1.0, gain)))
        chosen[best] = True
        chosen_of_film[film[best]] += 1
        mine = film == film[best]
        distance[mine] = np.minimum(distance[mine], np.abs(times[mine] - times[best]))
    return [each for each, is_chosen in zip(seconds, chosen, strict=True) if is_chosen]

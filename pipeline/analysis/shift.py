"""Measure how two sets of feature rows differ: means, norms, and whether a linear classifier separates them.

Films differ from each other anyway, so the classifier is tested on films that it was not fitted to. The fold of a film
is a function of its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.base.randomness import seed_of

Floats = NDArray[np.floating[Any]]
REPEATS = 5  # number of random divisions of the films into halves
PENALTY = 0.01  # factor of the squared weights (channels standardised), added to the mean loss
ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class RowSample:
    """Feature rows of several films in random order."""

    features: NDArray[np.float32]  # [n, C]
    film: NDArray[np.int64]  # [n], index into `films`
    films: Sequence[str]  # the films that have rows

    def of(self, films: Sequence[str]) -> NDArray[np.float32]:
        """Return the rows of some films."""
        wanted = np.isin(self.film, [self.films.index(each) for each in films])
        return self.features[wanted]


def mean_shift(one: Floats, other: Floats) -> dict[str, float]:
    """Return the mean and the maximum, over the channels, of the distance of the means in standard deviations.

    The deviation is the root of the mean of both variances. Channels that are constant on both sides are left out.

    Args:
        one: [n, C].
        other: [m, C].
    """
    distance = np.abs(one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64))
    spread = np.sqrt((one.var(0, dtype=np.float64) + other.var(0, dtype=np.float64)) / 2)
    varies = spread > 0
    if not varies.any():
        return {"mean": 0.0, "max": 0.0}
    shift = distance[varies] / spread[varies]
    return {"mean": float(shift.mean()), "max": float(shift.max())}


def norms(features: Floats) -> dict[str, float]:
    """Return `mean` and `std` (standard deviation) of the L2 norms of the rows [rows, channels]."""
    lengths = np.linalg.norm(features.astype(np.float64, copy=False), axis=1)
    return {"mean": float(lengths.mean()), "std": float(lengths.std())}


def tell_apart(one: RowSample, other: RowSample) -> dict[str, float] | None:
    """Measure how well a linear classifier separates two sets of films by their rows; 0.5 is chance.

    The films of each set are divided into halves. A logistic regression is fitted to one half of both sets and tested
    on the other half, and the other way round; both sets give equally many rows. This is repeated for `REPEATS`
    divisions.

    Returns:
        Mean `accuracy` and `auc`, and the `lowest` and `highest` accuracy of a division; None if a set has only one
        film.
    """
    if min(len(one.films), len(other.films)) < 2:
        return None
    return _summary(
        [_ask((one, other), (halves(one.films, number), halves(other.films, number))) for number in range(REPEATS)]
    )


def tell_halves_apart(sample: RowSample) -> dict[str, float] | None:
    """Do the same for two halves of one set's films: how films differ anyway. None with fewer than four films."""
    if len(sample.films) < 4:
        return None
    found = []
    for number in range(REPEATS):
        one, other = halves(sample.films, number)
        found.append(_ask((sample, sample), (halves(one, REPEATS + number), halves(other, REPEATS + number))))
    return _summary(found)


def halves(films: Sequence[str], number: int) -> tuple[list[str], list[str]]:
    """Divide the films into two halves; `number` selects the division."""
    order = sorted(films, key=lambda film: (seed_of("half of the films", number, film), film))
    return order[0::2], order[1::2]


def fit_logistic(features: Floats, labels: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Fit a logistic regression with a penalty on the weights; return weights [C] and bias. Nothing is random.

    Args:
        features: [n, C], standardised.
        labels: [n].
    """
    target = labels.astype(features.dtype)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = features @ weights.astype(features.dtype) + bias
        error = (expit(logits) - target) / len(target)
        value = np.mean(np.logaddexp(0, logits) - target * logits) + PENALTY / 2 * weights @ weights
        slope = np.append(features.T @ error + PENALTY * weights, error.sum())
        return float(value), slope.astype(np.float64)

    start = np.zeros(features.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return found[:-1], float(found[-1])


def area_under_curve(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Return the probability that a positive has a higher score than a negative; ties count half.

    Args:
        scores: [rows].
        labels: [rows], True for a positive; both kinds must be there.
    """
    positives = int(labels.sum())
    _, value, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = mean_rank[value[labels]].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))


def _ask(
    samples: tuple[RowSample, RowSample], folds: tuple[tuple[list[str], list[str]], ...]
) -> list[tuple[float, float]]:
    """Return accuracy and AUC on each fold of films, by the classifier fitted to the other fold."""
    sides = [[sample.of(films[fold]) for sample, films in zip(samples, folds, strict=True)] for fold in range(2)]
    data = [_balanced(*side) for side in sides]
    found = []
    for fitted, asked in ((0, 1), (1, 0)):
        features, labels = data[fitted]
        mean, spread = features.mean(0), features.std(0)
        scale = np.where(spread > 0, spread, 1)
        weights, bias = fit_logistic((features - mean) / scale, labels)
        features, labels = data[asked]
        scores = (features - mean) / scale @ weights + bias
        found.append((float(np.mean((scores > 0) == labels)), area_under_curve(scores, labels)))
    return found


def _balanced(negative: NDArray[np.float32], positive: NDArray[np.float32]) -> tuple[Floats, NDArray[np.bool_]]:
    n = min(len(negative), len(positive))
    return np.concatenate([negative[:n], positive[:n]]), np.arange(2 * n) >= n


def _summary(found: Sequence[Sequence[tuple[float, float]]]) -> dict[str, float]:
    means = np.mean(found, axis=1)  # [divisions, (accuracy, AUC)]
    return {
        "accuracy": float(means[:, 0].mean()),
        "auc": float(means[:, 1].mean()),
        "lowest": float(means[:, 0].min()),
        "highest": float(means[:, 0].max()),
    }

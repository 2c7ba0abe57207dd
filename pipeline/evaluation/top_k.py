"""Accuracies of one label per clip: top-1, top-5 and the mean over classes; and what is confused with what.

Of equal scores the class with the lower id comes first, everywhere. MMAction2 (`AccMetric`, rule `published`) takes the
higher id first for top-1 and top-5, but the lower one for its mean over classes; and that mean counts a class that was
only predicted as 0.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError

Rule = Literal["ours", "published"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FEW = 5


@dataclass(frozen=True)
class Accuracies:
    """Shares of the clips, from 0 to 1; NaN without clips."""

    top1: float
    top5: float
    mean_class: float


def accuracies(scores: NDArray[np.floating], labels: Ints, rule: Rule = "ours") -> Accuracies:
    """Score clips.

    Args:
        scores: [N, C], the higher the better; their scale does not matter.
        labels: [N] ids from 0.
        rule: `ours`: the mean over classes is over those that a clip has, and of equal scores the lower id is first.
            `published`: see above.

    Raises:
        InputError: a score is no finite number, or a label is not among the classes.
    """
    if not len(labels):
        return Accuracies(np.nan, np.nan, np.nan)
    ranks = label_ranks(scores, labels, higher_first=rule == "published")
    hits = class_hits(predicted(scores), labels, classes=scores.shape[1])
    counted = hits.clips > 0 if rule == "ours" else (hits.clips > 0) | (hits.predicted > 0)
    by_class = hits.found[counted] / np.maximum(hits.clips[counted], 1)
    return Accuracies(float((ranks == 0).mean()), float((ranks < FEW).mean()), float(by_class.mean()))


def label_ranks(scores: NDArray[np.floating], labels: Ints, *, higher_first: bool = False) -> Ints:
    """Return the place of each clip's label among its scores [N], 0 for the highest score.

    Args:
        scores: [N, C].
        labels: [N].
        higher_first: of equal scores the higher id is first; else the lower one.

    Raises:
        InputError: see `accuracies`.
    """
    if not np.isfinite(scores).all():
        clip, column = np.argwhere(~np.isfinite(scores))[0]
        raise InputError(f"clip {clip} has score {scores[clip, column]} for class {column}, expected a finite number")
    classes = scores.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise InputError(f"label {wrong} is not among the {classes} classes, 0 to {classes - 1}")
    own = scores[np.arange(len(labels)), labels][:, None]
    ids, label = np.arange(classes), labels[:, None]
    first = ids > label if higher_first else ids < label
    ranks: Ints = ((scores > own) | ((scores == own) & first)).sum(axis=1)
    return ranks


def predicted(scores: NDArray[np.floating]) -> Ints:
    """Return the class with the highest score of each clip [N], the lower id of equal ones."""
    best: Ints = scores.argmax(axis=1)
    return best


@dataclass(frozen=True)
class ClassHits:
    """Counts for each class [C]."""

    clips: Ints  # clips of the class
    found: Ints  # of these, those that were predicted right
    predicted: Ints  # clips that were predicted to be of the class


def class_hits(predictions: Ints, labels: Ints, *, classes: int) -> ClassHits:
    """Count clips and right predictions by class.

    Args:
        predictions: class that each clip was predicted to be of, [clips], from 0.
        labels: class of each clip, [clips], from 0.
        classes: number of classes.
    """
    return ClassHits(
        np.bincount(labels, minlength=classes),
        np.bincount(labels[predictions == labels], minlength=classes),
        np.bincount(predictions, minlength=classes),
    )


def confusion(predictions: Ints, labels: Ints, *, classes: int) -> Ints:
    """Count the clips of each class (rows) by what they were predicted to be (columns): [C, C]."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)

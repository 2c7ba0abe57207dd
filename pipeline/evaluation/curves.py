"""Compute precision and recall at distinct scores, and the area under the curve."""

import numpy as np

from pipeline.evaluation.box_arrays import Floats


def precision_recall(hits: Floats, scores: Floats, num_gt: int) -> tuple[Floats, Floats]:
    """Return recall and precision at each distinct score of a true positive, best score first.

    Thresholds between these lower the precision at the same recall, so neither area nor envelope needs them.

    Args:
        hits: scores of the true positives of a class, [true positives] in any order.
        scores: scores of all its detections, [detections], ascending.
        num_gt: number of its ground-truth boxes, at least 1.

    Returns:
        Recall and precision, each [distinct scores of `hits`] and from 0 to 1.
    """
    thresholds, counts = np.unique(hits, return_counts=True)
    found = np.cumsum(counts[::-1])
    shown = len(scores) - np.searchsorted(scores, thresholds[::-1])
    return found / num_gt, found / shown


def average_precision(recall: Floats, precision: Floats) -> float:
    """Return the area under the curve, with precision made monotone from the right (all points, as in VOC 2010).

    Args:
        recall: of each point, [points], ascending.
        precision: of the same points, [points].
    """
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope(precision)))


def envelope(precision: Floats) -> Floats:
    """Return the greatest precision at each recall or a higher one: [points], as `precision` in the order of recall."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def interpolate(recall: Floats, precision: Floats, levels: Floats) -> Floats:
    """Return the greatest precision at a recall of at least each level, [levels]; 0 beyond the end of the curve.

    Args:
        recall: of each point, [points], ascending.
        precision: of the same points, [points].
        levels: recalls from 0 to 1, [levels].
    """
    return np.append(envelope(precision), 0.0)[np.searchsorted(recall, levels)]

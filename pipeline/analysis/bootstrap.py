"""Compute the average precision on many resamples of the videos at once."""

import numpy as np

from pipeline.evaluation.ava_map import Matching
from pipeline.evaluation.box_arrays import Floats, Ints

_CELLS = 4_000_000  # thresholds x resamples held at a time: 32 MB an array


def draw_weights(videos: int, *, resamples: int, seed: int) -> Floats:
    """Draw how often each video is in each resample (as many videos, drawn with replacement): [B, V]."""
    drawn = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=resamples)
    return drawn.astype(np.float64)


def resampled_ap(matching: Matching, iou: float, weights: Floats) -> Floats:
    """Return the AP of each class in each resample, where a video counts as often as its weight.

    A video with weight 2 counts like two videos with the same scores. Only thresholds at true positives matter,
    so a class costs two matrix products, (thresholds x videos) by (videos x resamples).

    Args:
        matching: detections matched with ground truth.
        iou: matching threshold.
        weights: [B, V] whole numbers, in the order of `matching.video_ids`.

    Returns:
        [B, C], NaN if the class has no ground truth in the resample, or no AP by the protocol.
    """
    box, hit_score = matching.claims.granted(iou)
    hit_label, hit_video = matching.truth.label[box], matching.truth_video[box]
    result = np.full((len(weights), len(matching.class_ids)), np.nan)
    for label in range(len(matching.class_ids)):
        mine = hit_label == label
        start, end = matching.start[label], matching.start[label + 1]
        if end == start and not matching.protocol.scores_undetected:
            continue
        thresholds = np.unique(hit_score[mine])
        found = _at_least(thresholds, hit_score[mine], hit_video[mine], videos=weights.shape[1])
        shown = _at_least(thresholds, matching.score[start:end], matching.video[start:end], videos=weights.shape[1])
        num_gt = weights @ matching.num_gt[label]
        step = max(1, _CELLS // max(1, len(thresholds)))
        for first in range(0, len(weights), step):
            part = weights[first : first + step]
            area = _weighted_area(found @ part.T, shown @ part.T)
            with np.errstate(invalid="ignore", divide="ignore"):
                result[first : first + step, label] = area / num_gt[first : first + step]
    return result


def _at_least(thresholds: Floats, score: Floats, video: Ints, *, videos: int) -> Floats:
    """Count, for each threshold and video, the rows with at least that score: [T, V]."""
    rank = np.searchsorted(thresholds, score, side="right") - 1
    reached = rank >= 0
    counts = np.bincount(rank[reached] * videos + video[reached], minlength=len(thresholds) * videos)
    table = counts.reshape(len(thresholds), videos).astype(np.float64)
    return np.cumsum(table[::-1], axis=0)[::-1]


def _weighted_area(found: Floats, shown: Floats) -> Floats:
    """Return the monotone precision summed over the true positives [B]; both inputs are [T, B], thresholds ascending.

    A threshold whose true positives all have weight 0 adds nothing, and its precision is at most that of the next
    higher threshold that adds something.
    """
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    envelope = np.maximum.accumulate(precision, axis=0)
    steps = -np.diff(found, axis=0, append=np.zeros((1, found.shape[1])))
    return np.asarray((steps * envelope).sum(axis=0))

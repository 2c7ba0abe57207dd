"""Select person boxes: one rule for the keyframes of training, the rows of a bank and the boxes to score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BoxRule:
    """A score threshold, and what happens to a group of boxes (of a keyframe or a second) in which none reaches it.

    The parameters are `box_threshold`, `lower_threshold` and `full_frame_box`.
    """

    threshold: float
    "Boxes with at least this score pass."
    lower: bool = False
    "If no box of a group passes, those with its best score pass, as upstream (`min(threshold, best score)`)."
    full_frame: bool = False
    "A group without any box gets one of the whole frame with score 1, as upstream."


@dataclass(frozen=True)
class ObjectRule:
    """Which objects of a keyframe are taken: the best by score, of those with at least `score`."""

    places: int
    "Their largest number."
    score: float


ANY_SCORE = BoxRule(0.0)
"Passes every box, if the detector's scores are not negative."


def passing(
    scores: NDArray[np.floating], group: Ints, groups: int, rule: BoxRule, dtype: type[np.floating]
) -> NDArray[np.bool_]:
    """Return which rows pass, bool [n].

    Args:
        scores: [n].
        group: [n], the group of each row, from 0 to `groups` - 1.
        groups: number of groups.
        rule: see `BoxRule`.
        dtype: the type in which the scores are stored. The threshold is rounded to it too, because 0.9 as float32 is
            below 0.9.
    """
    lowest = np.full(groups, rule.threshold, dtype)
    if rule.lower:
        best = np.full(groups, -np.inf, dtype)
        np.maximum.at(best, group, scores)
        lowest = np.minimum(lowest, best)
    passed: NDArray[np.bool_] = scores >= lowest[group]
    return passed


def whole_frames(group: Ints, groups: int, rule: BoxRule) -> tuple[Ints, Floats]:
    """Return the groups that get a box of the whole frame, [k] in order, and these boxes, [k, 5]: x1 to y2, score.

    Args:
        group: [n], the group of each row, of any score.
        groups: number of groups.
        rule: see `BoxRule`.
    """
    bare = np.setdiff1d(np.arange(groups), group) if rule.full_frame else np.zeros(0, np.int64)
    return bare, np.tile([0.0, 0.0, 1.0, 1.0, 1.0], (len(bare), 1))

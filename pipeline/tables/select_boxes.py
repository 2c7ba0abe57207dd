"""Which person boxes are used: one rule for the keyframes of training, the rows of a bank and what is scored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BoxRule:
    """A threshold of scores, and what a group of boxes (those of a keyframe, of a second) is given that it leaves bare.

    In the parameters: `box_threshold`, `lower_threshold`, `full_frame_box`.
    """

    threshold: float
    "Boxes of at least this score pass."
    lower: bool = False
    "Where none of a group does, those of its best score pass, as upstream (`min(threshold, best score)`)."
    full_frame: bool = False
    "A group without any box gets the whole frame with score 1, as upstream."


ANY_SCORE = BoxRule(0.0)
"Every box, of a detector whose scores are not negative."


def passing(
    scores: NDArray[np.floating], group: Ints, groups: int, rule: BoxRule, dtype: type[np.floating]
) -> NDArray[np.bool_]:
    """Which rows pass, [n].

    Args:
        scores: [n].
        group: [n], the group of each row, from 0 to `groups` - 1.
        groups: how many there are.
        rule: see `BoxRule`.
        dtype: what the scores are stored in, in which the threshold is rounded too: 0.9 as float32 is below 0.9.
    """
    lowest = np.full(groups, rule.threshold, dtype)
    if rule.lower:
        best = np.full(groups, -np.inf, dtype)
        np.maximum.at(best, group, scores)
        lowest = np.minimum(lowest, best)
    passed: NDArray[np.bool_] = scores >= lowest[group]
    return passed


def whole_frames(group: Ints, groups: int, rule: BoxRule) -> tuple[Ints, Floats]:
    """The groups that get the whole frame, [k] in order, and the rows that they get, [k, 5]: x1, y1, x2, y2, score.

    Args:
        group: [n], the group of each row, whatever its score.
        groups: how many there are.
        rule: see `BoxRule`.
    """
    bare = np.setdiff1d(np.arange(groups), group) if rule.full_frame else np.zeros(0, np.int64)
    return bare, np.tile([0.0, 0.0, 1.0, 1.0, 1.0], (len(bare), 1))

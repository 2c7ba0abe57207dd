"""Compute MultiSports' frame-mAP: average precision of boxes, each frame of a film on its own."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.evaluation.ava_map import Matching, match
from pipeline.evaluation.protocols import Protocol

# This is `frameAP` of MultiSports' evaluate_multisports.py and of its copy in MMAction2. Where scores tie, their result
# depends on an unstable sort; ours is the lowest of all orders (see `pipeline.evaluation.ava_map`).
FRAME_RULES = Protocol(capped=False, frames="any", ground_truth_order="file", drops_degenerate=False)


def match_frames(
    annotations: pa.Table, keyframes: pa.Table, detections: pa.Table, class_ids: Sequence[int]
) -> Matching:
    """Match boxes frame by frame; `score_matching` computes the average precision from the result.

    Each detection claims the ground-truth box of its frame and class with which it overlaps most. A second detection
    on one box is wrong, and so is a detection in a frame without ground truth. A class with ground truth but no
    detection has AP 0; a class without ground truth has no AP.

    Args:
        annotations: ANNOTATIONS of the split.
        keyframes: KEYFRAMES of the split; nothing in an excluded keyframe counts.
        detections: DETECTIONS.
        class_ids: the scored classes.

    Raises:
        InputError: a score is not a number, or a box that takes part is inverted.
    """
    return match(annotations, detections, class_ids=class_ids, keyframes=keyframes, protocol=FRAME_RULES)

"""Frame-mAP as MultiSports takes it: average precision of boxes, every frame of a film by itself."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline.evaluation.ava_map import Matching, match
from pipeline.evaluation.protocols import Protocol

# `frameAP` of MultiSports' evaluate_multisports.py and of MMAction2, which copies it. Where scores tie, theirs depends
# on an unstable sort; ours is the lowest of all orders (see `pipeline.evaluation.ava_map`).
FRAME_RULES = Protocol(capped=False, frames="any", ground_truth_order="file", drops_degenerate=False)


def match_frames(
    annotations: pa.Table, keyframes: pa.Table, detections: pa.Table, class_ids: Sequence[int]
) -> Matching:
    """Match boxes frame by frame; `score_matching` makes average precision of it.

    Each detection claims the one ground-truth box of its frame and class that it overlaps most; a second
    detection on one box is wrong, and so is one in a frame without ground truth. A class with ground truth and
    no detection has AP 0, one without ground truth none.

    Args:
        annotations: ANNOTATIONS of the split.
        keyframes: KEYFRAMES of the split; nothing in an excluded one counts.
        detections: DETECTIONS.
        class_ids: the scored classes.

    Raises:
        InputError: a score is not a number, or a box that takes part is inverted.
    """
    return match(annotations, detections, class_ids=class_ids, keyframes=keyframes, protocol=FRAME_RULES)

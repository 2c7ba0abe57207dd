"""Measure how many annotated persons the boxes cover at each score, and propose a score threshold."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.iou import Floats, pair_iou
from pipeline.tables.keyframes import KeyframeSet, group_keyframes, stretches
from pipeline.tables.select_boxes import ANY_SCORE

IOU = 0.5
"The IoU at which the mAP matches boxes."
USUAL_THRESHOLD = 0.9
"The threshold of the published recipes."
KEPT_RECALL = 0.95
"A proposed threshold keeps at least this share of the persons that some box covers."
LEAST_KEPT_RECALL = 0.9
"A threshold that keeps less than this share is reported as a fault of the configuration."
THRESHOLD_KEYS = (
    "baseline.box_threshold",
    "baseline.validation.box_threshold",
    "bank.box_threshold",
    "head_train.box_threshold",
    "head_train.validation.box_threshold",
    "evaluation.box_threshold",
)
"Every threshold of person boxes; head.window.score is bank.box_threshold in every head."
# Number of keyframes compared at a time, to bound the memory for pairs of boxes.
KEYFRAMES_AT_ONCE = 20_000


def covering(grouped: KeyframeSet, ious: Sequence[float] = (IOU,)) -> dict[float, Floats]:
    """Return by IoU threshold the best score of the boxes that cover each person [persons]; -inf for none."""
    found: dict[float, list[Floats]] = {iou: [np.zeros(0)] for iou in ious}
    for first in range(0, len(grouped), KEYFRAMES_AT_ONCE):
        part = grouped[first : first + KEYFRAMES_AT_ONCE]
        owner = np.repeat(np.arange(len(part)), np.diff(part.ground_truth_offsets))
        counts, proposal = stretches(part.proposal_offsets[owner], part.proposal_offsets[owner + 1])
        person = np.repeat(np.arange(len(owner)), counts)
        overlap = pair_iou(part.ground_truth_xyxy[person], part.proposals_xyxy[proposal])
        for iou in ious:
            best = np.full(len(owner), -np.inf)
            near = overlap >= iou
            np.maximum.at(best, person[near], part.scores[proposal[near]])
            found[iou].append(best)
    return {iou: np.concatenate(parts) for iou, parts in found.items()}


def recall(scores: Floats, threshold: float = -np.inf) -> float:
    """Return the share of persons that a box with at least this score covers; 0 if there are no persons.

    `scores` is what `covering` returns for an IoU, [persons], here and in the functions below.
    """
    reached = scores >= threshold if np.isfinite(threshold) else np.isfinite(scores)
    return float(reached.mean()) if len(scores) else 0.0


def kept(scores: Floats, threshold: float) -> float:
    """Return the share of the coverable persons that boxes with at least this score cover; 1 if there are none."""
    reachable = recall(scores)
    return recall(scores, threshold) / reachable if reachable else 1.0


def propose_threshold(scores: Floats) -> float:
    """Return the highest threshold that keeps KEPT_RECALL of the coverable persons, at most USUAL_THRESHOLD.

    It is rounded down to two digits, so that the printed value is the value itself.
    """
    reachable = np.sort(scores[np.isfinite(scores)])[::-1]
    if not len(reachable):
        return USUAL_THRESHOLD
    best = float(reachable[math.ceil(KEPT_RECALL * len(reachable)) - 1])
    if best >= USUAL_THRESHOLD:
        return USUAL_THRESHOLD
    unit = 10.0 ** max(2, 1 - math.floor(math.log10(best))) if best > 0 else 100.0
    return math.floor(best * unit + 1e-9) / unit


def threshold_words(scores: Floats, threshold: float) -> str:
    """Describe the effect of a threshold beside the usual one, in numbers."""
    usual = (
        f"{recall(scores):.1%} of {len(scores)} annotated persons at IoU {IOU:g}, from score {USUAL_THRESHOLD:g} on "
    )
    usual += f"{recall(scores, USUAL_THRESHOLD):.1%}"
    return usual if threshold == USUAL_THRESHOLD else f"{usual}, from {threshold:g} on {recall(scores, threshold):.1%}"


def covering_scores(annotations: pa.Table, keyframes: pa.Table, boxes: pa.Table, split: str) -> Floats:
    """Return `covering` at IOU for the annotated persons of a split, from ANNOTATIONS, KEYFRAMES and BOXES."""
    classes = pc.max(annotations["action_id"]).as_py() or 1
    grouped = group_keyframes(annotations, keyframes, boxes, split=split, classes=classes, rule=ANY_SCORE)
    return covering(grouped)[IOU]


def recall_lines(annotations: pa.Table, keyframes: pa.Table, boxes: pa.Table) -> list[str]:
    """Return lines for the user: what the boxes of train and val cover, and where a usual threshold loses persons."""
    lines, low = [], []
    for split in ("train", "val"):
        scores = covering_scores(annotations, keyframes, boxes, split)
        if not len(scores):
            continue
        proposed = propose_threshold(scores)
        lines.append(f"{split}: boxes cover {threshold_words(scores, proposed)}")
        if kept(scores, USUAL_THRESHOLD) < LEAST_KEPT_RECALL:
            low.append(proposed)
    if low:
        keys = ", ".join(THRESHOLD_KEYS)
        lines.append(f"thresholds above {min(low):g} lose persons whom the boxes cover; they are {keys}")
    return lines

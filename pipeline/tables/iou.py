"""Intersection over union of boxes, and matching of proposals to ground truth (MMAction2 `MaxIoUAssignerAVA`)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def box_iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Compute intersection over union, [N, M], of boxes in one unit; 0 where both boxes have no area."""
    return pair_iou(boxes_xyxy[:, None], others_xyxy[None])


def pair_iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Like `box_iou`, for each pair of boxes at the same position in two arrays [..., 4]."""
    top_left = np.maximum(boxes_xyxy[..., :2], others_xyxy[..., :2])
    bottom_right = np.minimum(boxes_xyxy[..., 2:], others_xyxy[..., 2:])
    intersection = (bottom_right - top_left).clip(min=0).prod(axis=-1)
    areas = [(each[..., 2:] - each[..., :2]).clip(min=0).prod(axis=-1) for each in (boxes_xyxy, others_xyxy)]
    union = areas[0] + areas[1] - intersection
    iou: Floats = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def match_proposals(
    proposals_xyxy: Floats, ground_truth_xyxy: Floats, *, match_iou: float = 0.9
) -> tuple[Indices, Floats]:
    """Find the ground-truth box of each proposal.

    A proposal matches the box that it overlaps most (the first of equals). Afterwards each box claims the proposals
    that overlap it most, even if they overlap another box more; if several boxes claim a proposal, the last one gets
    it. This is upstream's `match_low_quality`; it lets boxes that nearly coincide each keep a proposal.

    Args:
        proposals_xyxy: [P, 4].
        ground_truth_xyxy: [G, 4], in the same unit.
        match_iou: smallest overlap of a match.

    Returns:
        [P] index of the box, -1 where none overlaps enough; and [P] the largest overlap.
    """
    if not len(ground_truth_xyxy):
        return np.full(len(proposals_xyxy), -1), np.zeros(len(proposals_xyxy))
    iou = box_iou(proposals_xyxy, ground_truth_xyxy)
    proposal, box = np.indices(iou.shape).reshape(2, -1)
    return match_pairs(iou.ravel(), proposal, box, iou.shape, match_iou=match_iou), iou.max(axis=1)


def match_pairs(iou: Floats, proposal: Indices, box: Indices, counts: tuple[int, ...], *, match_iou: float) -> Indices:
    """Apply the rule of `match_proposals` to many keyframes at once.

    Args:
        iou: [n], of pairs of a proposal and a ground-truth box: all pairs within each keyframe, none across keyframes.
        proposal: [n], index of the proposal.
        box: [n], index of the box; the boxes of a keyframe have ascending indices.
        counts: (number of proposals, number of boxes).
        match_iou: smallest overlap of a match.

    Returns:
        [proposals] index of the box, -1 where none overlaps enough.
    """
    match = np.full(counts[0], -1)
    most = np.zeros(counts[1])
    enough = iou >= match_iou
    iou, proposal, box = iou[enough], proposal[enough], box[enough]
    np.maximum.at(most, box, iou)
    # If several assignments have the same proposal, the last one wins.
    order = np.lexsort((-box, iou))
    match[proposal[order]] = box[order]
    own = np.flatnonzero(iou == most[box])
    own = own[np.argsort(box[own], kind="stable")]
    match[proposal[own]] = box[own]
    return match

"""Intersection over union of boxes, and the ground-truth box of a proposal (MMAction2 `MaxIoUAssignerAVA`)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def box_iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Intersection over union, [N, M], of boxes in any one unit; 0 where both are without area."""
    return pair_iou(boxes_xyxy[:, None], others_xyxy[None])


def pair_iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """As `box_iou`, of each box of [..., 4] with the other one at its place."""
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
    """The ground-truth box of each proposal.

    A proposal takes the box that it overlaps most, the first of equals; but the proposals that overlap a box most are
    that box's, even where they overlap another one more, the last of several such boxes (upstream's
    `match_low_quality`, which between boxes that nearly coincide leaves each one its own).

    Args:
        proposals_xyxy: [P, 4].
        ground_truth_xyxy: [G, 4], in the same unit.
        match_iou: least overlap.

    Returns:
        [P] index of the box, -1 where none overlaps enough; and [P] the largest overlap.
    """
    if not len(ground_truth_xyxy):
        return np.full(len(proposals_xyxy), -1), np.zeros(len(proposals_xyxy))
    iou = box_iou(proposals_xyxy, ground_truth_xyxy)
    proposal, box = np.indices(iou.shape).reshape(2, -1)
    return match_pairs(iou.ravel(), proposal, box, iou.shape, match_iou=match_iou), iou.max(axis=1)


def match_pairs(iou: Floats, proposal: Indices, box: Indices, counts: tuple[int, ...], *, match_iou: float) -> Indices:
    """The rule of `match_proposals` for many keyframes at once.

    Args:
        iou: [n], of pairs of a proposal and a ground-truth box; all pairs within a keyframe, none between two.
        proposal: [n].
        box: [n]; those of a keyframe ascend in its order.
        counts: how many proposals and boxes there are.
        match_iou: least overlap.

    Returns:
        [proposals] index of the box, -1 where none overlaps enough.
    """
    match = np.full(counts[0], -1)
    most = np.zeros(counts[1])
    enough = iou >= match_iou
    iou, proposal, box = iou[enough], proposal[enough], box[enough]
    np.maximum.at(most, box, iou)
    # Of assignments to one proposal the last one stands.
    order = np.lexsort((-box, iou))
    match[proposal[order]] = box[order]
    own = np.flatnonzero(iou == most[box])
    own = own[np.argsort(box[own], kind="stable")]
    match[proposal[own]] = box[own]
    return match

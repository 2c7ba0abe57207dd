"""Choose the boxes that train a head, and their labels (MMAction2 `MaxIoUAssignerAVA`, mmdet `RandomSampler`)."""

from dataclasses import dataclass

import numpy as np

from pipeline.tables.iou import Floats, Indices, match_proposals


@dataclass(frozen=True)
class Assignment:
    """The sampled boxes of one keyframe, positives first."""

    rows: Indices
    "[n], index into the G ground-truth boxes followed by the proposals: below G it is a ground-truth box."
    labels: Floats
    "[n, K], zeros for a negative."
    positives: int
    "The first `positives` boxes have labels; the loss ignores the others."


def assign_boxes(
    proposals_xyxy: Floats,
    ground_truth_xyxy: Floats,
    labels: Floats,
    *,
    generator: np.random.Generator,
    match_iou: float = 0.9,
    cap: int = 32,
) -> Assignment:
    """Choose the boxes of one keyframe that a head trains on.

    Ground-truth boxes come first and are positives; then come the proposals that match one, in their order. All other
    proposals are negatives. If there are more than `cap` positives, `cap` of them are drawn. Negatives fill the
    remaining places, drawn if there are too many. If nothing is left out, `generator` is not used.

    Args:
        proposals_xyxy: [P, 4].
        ground_truth_xyxy: [G, 4], in the same unit.
        labels: [G, K], 0 or 1.
        generator: seeded by the caller from (seed, epoch, keyframe).
        match_iou: smallest overlap of a proposal with the box whose labels it takes.
        cap: largest number of boxes of a keyframe.
    """
    truth = len(ground_truth_xyxy)
    match, _ = match_proposals(proposals_xyxy, ground_truth_xyxy, match_iou=match_iou)
    owner = np.concatenate([np.arange(truth), match])
    positive = _draw(np.flatnonzero(owner >= 0), cap, generator)
    negative = _draw(np.flatnonzero(owner < 0), cap - len(positive), generator)
    zeros = np.zeros((len(negative), labels.shape[1]))
    return Assignment(
        rows=np.concatenate([positive, negative]),
        labels=np.concatenate([labels[owner[positive]], zeros]),
        positives=len(positive),
    )


def _draw(rows: Indices, count: int, generator: np.random.Generator) -> Indices:
    return rows if len(rows) <= count else np.sort(generator.choice(rows, count, replace=False))

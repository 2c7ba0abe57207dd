"""Decide which detection claims which ground-truth box."""

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import BoxArrays, Floats, Ints, NumberedFrames
from pipeline.evaluation.protocols import Protocol


@dataclass(frozen=True)
class Claims:
    """Detections with a ground-truth box of their class in their frame, sorted by box, then by priority.

    Each detection claims only the box with which it overlaps most; which claims hold depends on the matching
    threshold.
    """

    box: Ints  # row of the ground truth (a row may occur several times)
    iou: Floats
    score: Floats
    detection: Ints  # row of the detections

    def granted(self, threshold: float) -> tuple[Ints, Floats]:
        """Return the boxes that are found at this IoU, and the score of the detection that finds each."""
        held = self.held(threshold)
        return self.box[held], self.score[held]

    def held(self, threshold: float) -> Ints:
        """Return the indices of the claims that hold at this IoU, one for each box that is found."""
        close = np.flatnonzero(self.iou >= threshold)
        held: Ints = close[np.diff(self.box[close], prepend=-1) != 0]
        return held


def find_claims(
    truth: BoxArrays, detections: BoxArrays, *, frames: NumberedFrames, classes: int, protocol: Protocol
) -> Claims:
    """Let each detection claim the ground-truth box of its frame and class with the greatest IoU.

    This equals the loop of the official `per_image_evaluation`: the best scored claim on a box is right, and the others
    are wrong even if another box is free. So only the claims have to be sorted.

    Args:
        truth: ground truth.
        detections: detections.
        frames: the frames, for their names in errors.
        classes: number of scored classes.
        protocol: gives the order of the ground truth and of the claims, and the float precision.

    Raises:
        InputError: a box that takes part is inverted.
    """
    ordered = _ground_truth_order(truth, protocol.ground_truth_order)
    keys, start, count = np.unique(_key(truth, classes)[ordered], return_index=True, return_counts=True)
    # One flag per (frame, class), so that only detections with a possible partner are looked up.
    has_truth = np.zeros((len(frames.video) + 1) * classes, bool)
    has_truth[keys] = True
    detection_key = _key(detections, classes)
    candidates = np.flatnonzero(has_truth[detection_key])
    if not len(candidates):
        nothing = np.zeros(0, np.int64)
        return Claims(nothing, np.zeros(0), np.zeros(0), nothing)
    group = np.searchsorted(keys, detection_key[candidates])
    partners = count[group]
    pair_start = np.cumsum(partners) - partners
    pair_detection = np.repeat(candidates, partners)
    pair_truth = ordered[np.arange(len(pair_detection)) + np.repeat(start[group] - pair_start, partners)]
    _refuse_inverted(truth, pair_truth, frames, "ground truth")
    if not protocol.drops_degenerate:
        _refuse_inverted(detections, pair_detection, frames, "detections")
    iou = _iou(detections, pair_detection, truth, pair_truth, single_precision=protocol.single_precision)
    best = np.maximum.reduceat(iou, pair_start)
    # Take the first pair with the greatest IoU. A NaN (two boxes without area) equals nothing and claims nothing.
    at_best = np.flatnonzero(iou == np.repeat(best, partners))
    owner = np.repeat(np.arange(len(candidates)), partners)[at_best]
    first = np.diff(owner, prepend=-1) != 0
    owner, box = owner[first], pair_truth[at_best[first]]
    score = detections.value[candidates[owner]]
    precedence = -score if protocol.first_claim == "score" else candidates[owner]
    by_box = np.lexsort((precedence, box))
    return Claims(box[by_box], best[owner][by_box], score[by_box], candidates[owner[by_box]])


def _key(rows: BoxArrays, classes: int) -> Ints:
    return rows.frame.astype(np.int64) * classes + rows.label


def _iou(detections: BoxArrays, left: Ints, truth: BoxArrays, right: Ints, *, single_precision: bool) -> Floats:
    """Return the IoU of pairs: intersection / (area + area - intersection), without +1.

    `single_precision` mixes types as MMAction2 1.x does: sides, areas and the sum of the areas are float32, the
    intersection is the float64 product of its sides, and the rest is float64.
    """
    a: list[Any] = list(detections.corners(left))
    b: list[Any] = list(truth.corners(right))
    if single_precision:
        a, b = [column.astype(np.float32) for column in a], [column.astype(np.float32) for column in b]
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b
    width = np.maximum(0.0, (np.minimum(ax2, bx2) - np.maximum(ax1, bx1)).astype(np.float64))
    height = np.maximum(0.0, (np.minimum(ay2, by2) - np.maximum(ay1, by1)).astype(np.float64))
    intersection = height * width
    areas = (ay2 - ay1) * (ax2 - ax1) + (by2 - by1) * (bx2 - bx1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou: Floats = intersection / (areas.astype(np.float64) - intersection)
    return iou


def _refuse_inverted(rows: BoxArrays, chosen: Ints, frames: NumberedFrames, what: str) -> None:
    inverted = rows.inverted()
    if inverted.any() and inverted[chosen].any():
        first = chosen[inverted[chosen]][:1]
        box = ",".join(f"{column[0]:g}" for column in rows.corners(first))
        frame = frames.name(int(rows.frame[first[0]]))
        raise InputError(f"{what}: {frame}: box is {box}, expected x1 <= x2 and y1 <= y2")


def _ground_truth_order(truth: BoxArrays, rule: str) -> Ints:
    """Return the order of the ground truth by frame and class, then by the protocol's rank within a frame."""
    if rule == "file":
        return np.lexsort((truth.label, truth.frame))
    order = np.lexsort((-truth.value, truth.label, truth.frame))
    if rule == "value":
        return order
    # Official: boxes with equal person ids (or none) have the order of a heap's array. Compute it for such frames only.
    frame, label, value = truth.frame[order], truth.label[order], truth.value[order]
    equal = (frame[1:] == frame[:-1]) & (label[1:] == label[:-1]) & (value[1:] == value[:-1])
    if not equal.any():
        return order
    position = _heap_positions(truth, np.unique(frame[1:][equal]))
    return np.lexsort((position, -truth.value, truth.label, truth.frame))


def _heap_positions(truth: BoxArrays, frames: Ints) -> Ints:
    """Return each row's position in a heap that holds its frame's rows, pushed in file order."""
    rows = np.flatnonzero(np.isin(truth.frame, frames))
    x1, y1, x2, y2 = (column.tolist() for column in truth.corners(rows))
    heaps: dict[int, list[tuple[float, ...]]] = {}
    entries = zip(truth.value[rows].tolist(), truth.label[rows].tolist(), y1, x1, y2, x2, rows.tolist(), strict=True)
    for frame, entry in zip(truth.frame[rows].tolist(), entries, strict=True):
        heapq.heappush(heaps.setdefault(frame, []), entry)
    positions = np.zeros(len(truth.frame), np.int64)
    for heap in heaps.values():
        positions[[int(entry[-1]) for entry in heap]] = np.arange(len(heap))
    return positions

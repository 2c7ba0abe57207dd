"""Compute AVA's mean average precision, vectorised: the official evaluation and the known copies of it.

The arithmetic matches ActivityNet's `Evaluation/get_ava_performance.py` of January 2021, in float64. Where
scores tie, the official result depends on an unstable sort; here precision and recall are taken at distinct
scores, which equals the worst order of tied rows and is deterministic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import Bools, BoxArrays, Floats, Ints, NumberedFrames, number_frames, scored_rows
from pipeline.evaluation.cap import best_rows
from pipeline.evaluation.curves import average_precision, precision_recall
from pipeline.evaluation.matching import Claims, find_claims
from pipeline.evaluation.protocols import OFFICIAL_CAP, Protocol, find_protocol


@dataclass(frozen=True)
class Counted:
    """Which rows and frames of the tables take part in an evaluation."""

    class_ids: Ints  # [C] ascending
    frames: NumberedFrames
    truth_frame: Ints  # frame of every row of the annotations
    detection_frame: Ints  # frame of every row of the detections
    counts: Bools  # [F] frames in which detections count
    truth: BoxArrays
    found: BoxArrays
    protocol: Protocol


@dataclass(frozen=True)
class Matching:
    """Detections and ground truth of the scored classes after matching: all that a precision-recall curve needs."""

    class_ids: Ints  # [C] ascending
    video_ids: tuple[str, ...]  # [V]
    protocol: Protocol
    score: Floats  # [N] scores of the detections, sorted by class, then ascending score
    video: Ints  # [N] video of each detection
    start: Ints  # [C + 1] where each class starts
    num_gt: Ints  # [C, V] ground-truth boxes that count
    truth: BoxArrays
    truth_video: Ints
    claims: Claims

    def class_scores(self, label: int) -> Floats:
        """Return the scores of all detections of a class, ascending."""
        return self.score[self.start[label] : self.start[label + 1]]


@dataclass(frozen=True)
class Evaluation:
    """Average precision of each scored class at one matching threshold."""

    class_ids: Ints  # [C]
    ap: Floats  # [C], NaN for a class without ground truth
    num_gt: Ints  # [C]
    num_detections: Ints  # [C] detections that counted
    num_true_positives: Ints  # [C]

    @property
    def map(self) -> float:
        """Return the mean over the classes that have an AP; NaN if none has."""
        return mean_ap(self.ap)


def mean_ap(ap: Floats) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = ap[~np.isnan(ap)]
    return float(defined.mean()) if len(defined) else float("nan")


def match(
    annotations: pa.Table,
    detections: pa.Table,
    *,
    class_ids: Sequence[int],
    keyframes: pa.Table | None = None,
    protocol: str | Protocol = "official",
    cap: int = OFFICIAL_CAP,
) -> Matching:
    """Match detections with ground truth.

    Args:
        annotations: columns video_id, timestamp, x1, y1, x2, y2, action_id, person_id of the split to be
            scored, in the source's order.
        detections: the same columns with score in place of person_id.
        class_ids: the scored classes; rows of other classes are skipped.
        keyframes: columns video_id, timestamp, status. Detections in an "annotated" or "empty" keyframe count
            even if it has no ground truth; nothing in an "excluded" keyframe counts.
        protocol: a key of `PROTOCOLS`, or a `Protocol`.
        cap: rows per frame that protocol `official` keeps; 0 keeps all.

    Raises:
        InputError: see `counted_rows`; or a box that takes part is inverted.
    """
    counted = counted_rows(
        annotations, detections, class_ids=class_ids, keyframes=keyframes, protocol=protocol, cap=cap
    )
    ids, frames, truth, found, rules = counted.class_ids, counted.frames, counted.truth, counted.found, counted.protocol
    by_class = np.argsort(found.label.astype(np.uint16), kind="stable")
    start = np.searchsorted(found.label[by_class], np.arange(len(ids) + 1))
    for label in range(len(ids)):
        part = by_class[start[label] : start[label + 1]]
        part[:] = part[np.argsort(found.value[part])]
    truth_video = frames.video[truth.frame]
    num_gt = np.zeros((len(ids), len(frames.video_ids)), np.int64)
    np.add.at(num_gt, (truth.label, truth_video), 1)
    return Matching(
        class_ids=ids,
        video_ids=frames.video_ids,
        protocol=rules,
        score=found.value[by_class],
        video=frames.video[found.frame[by_class]],
        start=start,
        num_gt=num_gt,
        truth=truth,
        truth_video=truth_video,
        claims=find_claims(truth, found, frames=frames, classes=len(ids), protocol=rules),
    )


def counted_rows(
    annotations: pa.Table,
    detections: pa.Table,
    *,
    class_ids: Sequence[int],
    keyframes: pa.Table | None,
    protocol: str | Protocol,
    cap: int,
) -> Counted:
    """Find the rows and frames that take part; for the arguments see `match`.

    Raises:
        InputError: a score is not a number, the protocol is unknown, or it needs timestamps in whole seconds and these
            are not.
    """
    rules = find_protocol(protocol) if isinstance(protocol, str) else protocol
    ids = np.unique(np.asarray(class_ids, np.int64))
    if not len(ids) or ids[0] < 1:
        raise InputError(f"classes to be scored are {ids.tolist()}, expected ids from 1 on")
    if keyframes is None:
        keyframes = annotations.slice(0, 0).select(["video_id", "timestamp"])
        keyframes = keyframes.append_column("status", pa.array([], pa.string()))
    frames, (truth_frame, detection_frame, key_frame) = number_frames([annotations, detections, keyframes])
    fractional = frames.microseconds % 1_000_000 != 0
    if rules.whole_seconds and fractional.any():
        raise InputError(
            f"{frames.name(int(np.argmax(fractional)))}: found a fraction of a second, "
            f"expected whole seconds, which protocol {protocol} reads"
        )
    status = np.asarray(keyframes["status"].to_pylist(), np.str_)
    excluded = _mask(frames, key_frame[status == "excluded"])
    named = _mask(frames, truth_frame, key_frame[status != "excluded"])

    truth = scored_rows(annotations.combine_chunks(), truth_frame, class_ids=ids, value="person_id")
    if rules.excludes_ground_truth:
        truth = truth.take(~excluded[truth.frame])
    found = scored_rows(detections, detection_frame, class_ids=ids, value="score")
    counts = ~excluded & {"named": named, "labelled": _mask(frames, truth.frame), "any": ~excluded}[rules.frames]
    found = found.take(counts[found.frame])
    kept = best_rows(found, cap) if rules.capped and cap else np.ones(len(found.row), bool)
    if rules.drops_degenerate:
        kept &= ~found.degenerate()
    found = found.take(kept)
    if rules.single_precision:
        found = replace(found, value=found.value.astype(np.float32).astype(np.float64))
    return Counted(ids, frames, truth_frame, detection_frame, counts, truth, found, rules)


def score_matching(matching: Matching, iou: float) -> Evaluation:
    """Compute the average precision of each class at the matching threshold `iou`."""
    ap = np.full(len(matching.class_ids), np.nan)
    num_gt = matching.num_gt.sum(1)
    num_detections = np.diff(matching.start)
    hits = true_positives(matching, iou)
    for label, scores in enumerate(hits):
        if num_gt[label] and (num_detections[label] or matching.protocol.scores_undetected):
            curve = precision_recall(scores, matching.class_scores(label), int(num_gt[label]))
            ap[label] = average_precision(*curve)
    found = np.asarray([len(scores) for scores in hits])
    return Evaluation(matching.class_ids, ap, num_gt, num_detections, found)


def true_positives(matching: Matching, iou: float) -> list[Floats]:
    """Return the scores of the true positives of each class, descending."""
    box, score = matching.claims.granted(iou)
    label = matching.truth.label[box]
    order = np.lexsort((-score, label))
    return np.split(score[order], np.searchsorted(label[order], np.arange(1, len(matching.class_ids))))


def evaluate(
    annotations: pa.Table,
    detections: pa.Table,
    *,
    class_ids: Sequence[int],
    keyframes: pa.Table | None = None,
    iou: float = 0.5,
    protocol: str = "official",
    cap: int = OFFICIAL_CAP,
) -> Evaluation:
    """Match and score at one threshold; see `match`."""
    matching = match(annotations, detections, class_ids=class_ids, keyframes=keyframes, protocol=protocol, cap=cap)
    return score_matching(matching, iou)


def _mask(frames: NumberedFrames, *members: Ints) -> Bools:
    mask = np.zeros(len(frames.video), bool)
    for each in members:
        mask[each] = True
    return mask

"""Compute video-mAP: average precision of tubes by their overlap in space and time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_map import mean_ap
from pipeline.evaluation.box_arrays import Floats, Ints, number_frames, scored_rows
from pipeline.evaluation.curves import average_precision, precision_recall
from pipeline.evaluation.matching import Claims
from pipeline.evaluation.multisports.linking import FrameBoxes, link_tubes
from pipeline.evaluation.multisports.tubes import Tubes, frame_numbers, pixel_box_iou, truth_tubes
from pipeline.evaluation.protocols import MIN_FRAMES

# Thresholds whose mAPs are averaged, computed as upstream does: 0.1 + 0.1 * 2 is slightly above 0.3.
TUBE_IOUS = {
    "0.2": (0.2,),
    "0.5": (0.5,),
    "0.05:0.45": tuple(0.05 + 0.05 * i for i in range(9)),
    "0.10:0.90": tuple(0.1 + 0.1 * i for i in range(9)),
    "0.50:0.95": tuple(0.5 + 0.05 * i for i in range(10)),
}


@dataclass(frozen=True)
class VideoEvaluation:
    """Average precision of tubes for C scored classes."""

    class_ids: Ints  # [C] ascending
    ap: dict[str, Floats]  # [C] by a key of TUBE_IOUS, NaN without ground truth
    num_gt: Ints  # [C] number of tubes
    num_detections: Ints  # [C] number of tubes

    @property
    def map(self) -> dict[str, float]:
        """Return, by a key of TUBE_IOUS, the mean over classes with ground truth; NaN if there are none."""
        return {name: mean_ap(ap) for name, ap in self.ap.items()}


def evaluate_tubes(
    annotations: pa.Table,
    keyframes: pa.Table,
    detections: pa.Table,
    class_ids: Sequence[int],
    *,
    protocol: str = "official",
    pixels: dict[str, tuple[float, float]] | None = None,
    min_frames: int = MIN_FRAMES,
) -> VideoEvaluation:
    """Link detections to tubes and score them.

    This equals `videoAP` of MultiSports' evaluate_multisports.py and of MMAction2, except for their float32 tubes and
    for ties, which are scored as in `match`.

    Args:
        annotations: ANNOTATIONS of the split; a tube is an unbroken run of frames of a person with an action.
        keyframes: KEYFRAMES of the split; nothing in an excluded keyframe counts.
        detections: DETECTIONS.
        class_ids: the scored classes.
        protocol: official: a box is linked with its own score. mmaction2_1x: as MMAction2 1.x, which by mistake
            gives every box the score of the last detection of the whole data set (`get_vid_dets` reads a loop
            variable after its loop). So the order of tubes, and with it the published video-mAP, means little;
            tubes with equal scores keep the order in which they end, film by film.
        pixels: see `link_tubes`, by video; None adds nothing to the sides.
        min_frames: see `link_tubes`.

    Raises:
        InputError: the protocol is unknown; a score is not a number; the frames have no common step; an annotated box
            has no person, or a person has two boxes of one class in a frame; `pixels` lacks a video.
    """
    check_protocol(protocol)
    ids = np.unique(np.asarray(class_ids, np.int64))
    frames, (truth_frame, found_frame, key_frame) = number_frames([annotations, detections, keyframes])
    number = frame_numbers(frames)
    counts = np.ones(len(frames.video), bool)
    counts[key_frame[np.asarray(keyframes["status"].to_pylist(), np.str_) == "excluded"]] = False

    truth_rows = scored_rows(annotations.combine_chunks(), truth_frame, class_ids=ids, value="person_id")
    truth = truth_tubes(truth_rows.take(counts[truth_rows.frame]), frames, number)
    rows = scored_rows(detections.combine_chunks(), found_frame, class_ids=ids, value="score")
    rows = rows.take(counts[rows.frame])
    found = FrameBoxes(
        video=frames.video[rows.frame],
        label=rows.label,
        frame=number[rows.frame],
        boxes_xyxy=np.column_stack(rows.corners(np.arange(len(rows.row)))).reshape(-1, 4),
        score=rows.value,
    )
    if protocol == "mmaction2_1x":
        found = replace(found, score=np.full(len(rows.row), detections["score"].to_numpy()[-1:]))
    by_video = None if pixels is None else _pixels(pixels, frames.video_ids)
    tubes = link_tubes(found, pixels=by_video, min_frames=min_frames)
    if protocol == "mmaction2_1x":
        tubes = replace(tubes, score=_distinct(tubes.score))
    return _score(ids, truth, tubes)


def check_protocol(protocol: str) -> None:
    """Check that tubes can be scored by a protocol.

    Raises:
        InputError: the protocol is neither official nor mmaction2_1x.
    """
    if protocol not in ("official", "mmaction2_1x"):
        raise InputError(f"protocol of multisports is '{protocol}', expected official or mmaction2_1x")


def tube_iou(truth: Tubes, tube: int, found: Tubes, other: int) -> float:
    """Return the overlap of two tubes: the mean IoU of their common frames, times their overlap in time.

    This equals upstream's `iou3dt_voc`, which measures time from the first frame to the last without counting the
    last one. So tubes that share a single frame have overlap 0; so have two tubes of one frame each, which are 0 / 0
    upstream.
    """
    starts = sorted((int(truth.first[tube]), int(found.first[other])))
    ends = sorted((int(truth.last[tube]), int(found.last[other])))
    if ends[0] <= starts[1]:
        return 0.0
    common = (starts[1], ends[0])
    spatial = pixel_box_iou(truth.boxes(tube, *common), found.boxes(other, *common))
    return float(spatial.mean()) * ((ends[0] - starts[1]) / (ends[1] - starts[0]))


def claim_tubes(truth: Tubes, found: Tubes) -> Claims:
    """Let each found tube claim the ground-truth tube of its film and class with which it overlaps most."""
    rivals: dict[tuple[int, int], list[int]] = {}
    for tube, key in enumerate(zip(truth.video.tolist(), truth.label.tolist(), strict=True)):
        rivals.setdefault(key, []).append(tube)
    box, iou, score, detection = [], [], [], []
    for other, key in enumerate(zip(found.video.tolist(), found.label.tolist(), strict=True)):
        if key in rivals:
            overlaps = [tube_iou(truth, tube, found, other) for tube in rivals[key]]
            best = int(np.argmax(overlaps))
            box.append(rivals[key][best])
            iou.append(overlaps[best])
            score.append(found.score[other])
            detection.append(other)
    scores, boxes = np.array(score, np.float64), np.array(box, np.int64)
    order = np.lexsort((-scores, boxes))
    return Claims(boxes[order], np.array(iou, np.float64)[order], scores[order], np.array(detection, np.int64)[order])


def _score(class_ids: Ints, truth: Tubes, found: Tubes) -> VideoEvaluation:
    classes = len(class_ids)
    num_gt = np.bincount(truth.label, minlength=classes)
    claims = claim_tubes(truth, found)
    scores = [np.sort(found.score[found.label == label]) for label in range(classes)]

    def at(threshold: float) -> Floats:
        tube, score = claims.granted(threshold)
        label = truth.label[tube]
        ap = np.full(classes, np.nan)
        for each in np.flatnonzero(num_gt):
            curve = precision_recall(score[label == each], scores[each], int(num_gt[each]))
            ap[each] = average_precision(*curve)
        return ap

    ap = {name: np.mean([at(threshold) for threshold in ious], axis=0) for name, ious in TUBE_IOUS.items()}
    return VideoEvaluation(class_ids, ap, num_gt, np.bincount(found.label, minlength=classes))


def _pixels(pixels: dict[str, tuple[float, float]], video_ids: Sequence[str]) -> Floats:
    for video in video_ids:
        if video not in pixels:
            raise InputError(f"detections: found video {video}, expected one of the {len(pixels)} whose size is known")
    return np.array([pixels[video] for video in video_ids], np.float64).reshape(-1, 2)


def _distinct(score: Floats) -> Floats:
    """Return distinct scores in the same order; of equal scores the first becomes the best."""
    distinct = np.empty(len(score))
    distinct[np.argsort(-score, kind="stable")] = -np.arange(len(score), dtype=np.float64)
    return distinct

"""Compute the MultiSports metric: frame-mAP at IoU 0.5 and video-mAP of linked tubes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.evaluation.ava_map import score_matching
from pipeline.evaluation.multisports.frame_ap import match_frames
from pipeline.evaluation.multisports.video_ap import evaluate_tubes
from pipeline.evaluation.protocols import MIN_FRAMES
from pipeline.tables.label_map import Label

# Classes that MultiSports' own evaluation skips.
UNSCORED = (
    "aerobic kick jump",
    "aerobic off axis jump",
    "aerobic butterfly jump",
    "aerobic balance turn",
    "basketball save",
    "basketball jump ball",
)


def scored_classes(labels: Sequence[Label]) -> list[Label]:
    """Return the classes that count, by id: all but the six of `UNSCORED` (underscores in names count as blanks)."""
    kept = [label for label in labels if label.name.replace("_", " ").lower() not in UNSCORED]
    return sorted(kept, key=lambda label: label.id)


def evaluate_multisports(
    annotations: pa.Table,
    keyframes: pa.Table,
    detections: pa.Table,
    labels: Sequence[Label],
    *,
    iou: float = 0.5,
    protocol: str = "official",
    sizes: Mapping[str, tuple[int, int]] | None = None,
    min_frames: int = MIN_FRAMES,
) -> dict[str, Any]:
    """Score detections as MultiSports does.

    `match_frames` gives the frame-mAP. `evaluate_tubes` gives the video-mAP of the tubes that `link_tubes` makes from
    the detections. Both follow MMAction2's `MultiSportsMetric` and MultiSports' evaluate_multisports.py. The order of
    equal scores is not confirmed, as these use an unstable sort. MultiSports' first script, evaluate.py, computes
    something else: it adds a pixel to every side and frame, and lets a detection claim a second box if the first is
    taken.

    Args:
        annotations: ANNOTATIONS of the split, with the tube of a box in `person_id`.
        keyframes: KEYFRAMES of the split.
        detections: DETECTIONS; upstream has one row per box, for its best class.
        labels: the classes; those of `UNSCORED` do not count.
        iou: matching threshold of frames.
        protocol: official or mmaction2_1x, see `evaluate_tubes`.
        sizes: width and height in pixels of every video, for upstream's suppression within a frame; None adds no pixel
            to the sides of boxes there.
        min_frames: shorter detected tubes are dropped.

    Returns:
        `frame_map`, and `video_map` by the keys of `TUBE_IOUS`, both from 0 to 1 (NaN if no class has ground truth);
        and `per_class`: by class id `frame_ap`, `video_ap`, and the counts `boxes`, `tubes`, `detected_boxes` and
        `detected_tubes`.

    Raises:
        InputError: see `match_frames` and `evaluate_tubes`.
    """
    ids = [label.id for label in scored_classes(labels)]
    by_frame = score_matching(match_frames(annotations, keyframes, detections, ids), iou)
    pixels = None if sizes is None else {video: (1 / width, 1 / height) for video, (width, height) in sizes.items()}
    by_tube = evaluate_tubes(
        annotations, keyframes, detections, ids, protocol=protocol, pixels=pixels, min_frames=min_frames
    )
    return {
        "frame_map": by_frame.map,
        "video_map": by_tube.map,
        "per_class": {
            class_id: {
                "frame_ap": float(by_frame.ap[index]),
                "video_ap": {name: float(ap[index]) for name, ap in by_tube.ap.items()},
                "boxes": int(by_frame.num_gt[index]),
                "tubes": int(by_tube.num_gt[index]),
                "detected_boxes": int(by_frame.num_detections[index]),
                "detected_tubes": int(by_tube.num_detections[index]),
            }
            for index, class_id in enumerate(ids)
        },
    }

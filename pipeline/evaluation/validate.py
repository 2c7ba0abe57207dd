"""Compute the few numbers that training shows after an epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.ava_map import match, mean_ap, score_matching
from pipeline.tables.label_map import Label


def of_split(annotations: pa.Table, keyframes: pa.Table, split: str) -> tuple[pa.Table, pa.Table]:
    """Return the rows of both tables that belong to a split."""
    keyframes = keyframes.filter(pc.equal(keyframes["split"], split))
    videos = pc.unique(keyframes["video_id"])
    return annotations.filter(pc.is_in(annotations["video_id"], videos)), keyframes


def validation_metrics(
    detections: Mapping[str, pa.Table],
    *,
    annotations: pa.Table,
    keyframes: pa.Table,
    labels: Sequence[Label],
    headline: str,
) -> dict[str, Any]:
    """Return the mAP at IoU 0.5 by the official protocol, for every kind of boxes and every group of classes.

    Args:
        detections: DETECTIONS for `detected` and `ground_truth` boxes.
        annotations: ANNOTATIONS of the split.
        keyframes: KEYFRAMES of the split.
        labels: the scored classes.
        headline: the kind of boxes whose mAP is `map`.

    Returns:
        Keys `map` (of the headline boxes), `map_<boxes>`, `<group>_<boxes>`; the value is None if no class has an AP.
    """
    metrics: dict[str, float | None] = {}
    groups = list(dict.fromkeys(label.group for label in labels))
    for kind, table in detections.items():
        matching = match(
            annotations,
            table,
            class_ids=[label.id for label in labels],
            keyframes=keyframes,
        )
        scored = score_matching(matching, 0.5)
        metrics[f"map_{kind}"] = _number(scored.map)
        group_of = {label.id: label.group for label in labels}
        for group in groups:
            mine = np.array([group_of[int(each)] == group for each in scored.class_ids])
            metrics[f"{group}_{kind}"] = _number(mean_ap(scored.ap[mine]))
    return {"map": metrics[f"map_{headline}"], **metrics}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value

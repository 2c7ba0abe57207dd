"""Convert class scores of boxes into rows of the detections table."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base.errors import counted
from pipeline.tables.keyframes import Keyframe
from pipeline.tables.schemas import BOX_COLUMNS, DETECTIONS


@dataclass(frozen=True)
class ScoredKeyframe:
    """One keyframe with the model's scores of its boxes."""

    keyframe: Keyframe
    boxes_xyxy: NDArray[np.float64]  # [n, 4], normalised
    scores: NDArray[np.float32]  # [n, classes]; column c is action id c + 1


def detections_table(
    keyframes: Iterable[ScoredKeyframe], *, action_threshold: float, decode: Literal["all", "argmax"] = "all"
) -> pa.Table:
    """Convert scores into rows (DETECTIONS).

    Keyframes keep their order; within one, rows go box by box, with ascending classes.

    Args:
        keyframes: the scores.
        action_threshold: only scores above it give a row.
        decode: all: a row for each class of a box; argmax: one row per box, for its best class (of equal ones the
            lowest id), as MMAction2's `MultiSportsMetric` reads single-label models.
    """
    video_ids: list[str] = []
    counts: list[int] = []
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in DETECTIONS.names if name != "video_id"}
    for each in keyframes:
        above = each.scores > action_threshold
        if decode == "argmax":
            above &= np.arange(above.shape[1]) == each.scores.argmax(axis=1)[:, None]
        box, column = np.nonzero(above)
        video_ids.append(each.keyframe.video_id)
        counts.append(len(box))
        parts["timestamp"].append(np.full(len(box), each.keyframe.timestamp))
        parts["time_seconds"].append(np.full(len(box), each.keyframe.time_seconds))
        for name, values in zip(BOX_COLUMNS, each.boxes_xyxy.T, strict=True):
            parts[name].append(values[box])
        parts["action_id"].append((column + 1).astype(np.int32))
        parts["score"].append(each.scores[box, column].astype(np.float64))
    if not video_ids:
        return DETECTIONS.empty_table()
    columns = {name: pa.array(np.concatenate(values)) for name, values in parts.items()}
    columns["video_id"] = pa.array(np.repeat(np.array(video_ids, dtype=object), counts), pa.string())
    return pa.table(columns).select(DETECTIONS.names).cast(DETECTIONS)


def no_score_above(keyframes: Iterable[ScoredKeyframe], *, action_threshold: float) -> str | None:
    """Say why there are no detections: that boxes were scored, but none above the threshold. None if it is not so."""
    scores = [each.scores for each in keyframes if each.scores.size]
    highest = max((float(each.max()) for each in scores), default=None)
    if highest is None or highest > action_threshold:
        return None
    boxes = counted(sum(len(each) for each in scores), "box", "boxes")
    return (
        f"no detection: the highest score of {boxes} is {highest:.3g}, and evaluation.action_threshold is "
        f"{action_threshold:g}"
    )

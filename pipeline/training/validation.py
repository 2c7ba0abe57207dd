"""Validate a model during training, and check that this is possible."""

from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.distributed import from_main
from pipeline.base.errors import InputError
from pipeline.evaluation.validate import validation_metrics
from pipeline.scoring.detections import ScoredKeyframe, detections_table
from pipeline.tables.split_tables import Tables
from pipeline.training.history import Metrics


def validator(
    score: Callable[[], dict[str, list[ScoredKeyframe]]],
    tables: Tables,
    *,
    headline: str,
    decode: Literal["all", "argmax"] = "all",
) -> Callable[[], Metrics]:
    """Build a function that scores the val split and returns its metrics, the same on every rank.

    Args:
        score: returns the model's scores of `detected` and `ground_truth` boxes; only rank 0's are used.
        tables: the annotations.
        headline: the boxes whose mAP is called `map`.
        decode: see `detections_table`.
    """
    annotations, keyframes = tables.of_split("val")

    def validate() -> Metrics:
        scored = score()

        def metrics() -> Metrics:
            detections = {
                kind: detections_table(each, action_threshold=0, decode=decode) for kind, each in scored.items()
            }
            return validation_metrics(
                detections, annotations=annotations, keyframes=keyframes, labels=tables.labels, headline=headline
            )

        return from_main(metrics)

    return validate


def check_val_labels(tables: Tables, key: str) -> None:
    """Check that val has a mAP, for a setting that uses it.

    Args:
        tables: the annotations.
        key: the setting, with its value.

    Raises:
        InputError: no keyframe of val, apart from excluded ones, has a label of the label map's classes.
    """
    annotations, keyframes = tables.of_split("val")
    counted = keyframes.filter(pc.not_equal(keyframes["status"], "excluded")).select(["video_id", "timestamp"])
    known = pa.array([label.id for label in tables.labels], annotations["action_id"].type)
    labelled = annotations.filter(pc.is_in(annotations["action_id"], known)).select(["video_id", "timestamp"])
    if not len(labelled.join(counted, ["video_id", "timestamp"], join_type="inner")):
        raise InputError(
            f"{key} goes by the mAP of val, which has no label of a scored class in its {len(counted)} keyframes; "
            "expected 1 or more: annotate a film of val, or take the setting back"
        )

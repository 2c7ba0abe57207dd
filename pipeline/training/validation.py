"""Validation as `fit` calls it."""

from collections.abc import Callable

from pipeline.evaluation.validate import validation_metrics
from pipeline.inference.detections import ScoredKeyframe, detections_table
from pipeline.training.loop import Metrics
from pipeline.training.tables import Tables


def validator(
    score: Callable[[], dict[str, list[ScoredKeyframe]]], tables: Tables, *, headline: str
) -> Callable[[], Metrics]:
    """A function that scores the val split and gives its metrics.

    Args:
        score: the model's scores of `detected` and `ground_truth` boxes.
        tables: the annotations.
        headline: the boxes whose mAP is called `map`.
    """
    annotations, keyframes = tables.of_split("val")

    def validate() -> Metrics:
        detections = {kind: detections_table(each, action_threshold=0) for kind, each in score().items()}
        return validation_metrics(
            detections, annotations=annotations, keyframes=keyframes, labels=tables.labels, headline=headline
        )

    return validate

"""Validation as `fit` calls it."""

from collections.abc import Callable
from typing import Literal

from pipeline.distributed import from_main
from pipeline.evaluation.validate import validation_metrics
from pipeline.inference.detections import ScoredKeyframe, detections_table
from pipeline.training.state import Metrics
from pipeline.training.tables import Tables


def validator(
    score: Callable[[], dict[str, list[ScoredKeyframe]]],
    tables: Tables,
    *,
    headline: str,
    decode: Literal["all", "argmax"] = "all",
) -> Callable[[], Metrics]:
    """A function that scores the val split and gives its metrics, the same on every rank.

    Args:
        score: the model's scores of `detected` and `ground_truth` boxes; of several ranks, rank 0's count.
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

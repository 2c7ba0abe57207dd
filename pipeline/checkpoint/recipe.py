"""The detector that a set of parameters describes: what `evaluate` scores."""

from collections.abc import Mapping
from typing import Any

from pipeline.checkpoint.described_detector import detector_from_sidecar
from pipeline.checkpoint.described_head import build_scope_detector
from pipeline.models.detector import Detector
from pipeline.models.scores import LabelKind, columns


def build_recipe(parameters: Mapping[str, Any]) -> Detector:
    """Build the whole detector of a recipe; weights are drawn from torch's global generator.

    Args:
        parameters: as `params.yaml` has them: `dataset.classes`, `backbone`, `roi`, `labels`, `baseline`, `head`,
            `head_train` and `scope` are read. With head `baseline` it is the baseline's detector, else that with
            the head, whose bank has the channels that this baseline fills it with.

    Raises:
        InputError: backbone, head or option is unknown, or they do not fit.
    """
    labels, head = parameters["labels"], parameters["head"]
    shared = {
        "backbone": parameters["backbone"]["name"],
        "width": parameters["backbone"]["width"],
        "roi": parameters["roi"],
        "columns": columns(parameters["dataset"]["classes"], LabelKind(labels["kind"], labels["background"])),
    }
    baseline = parameters["baseline"]
    detector = detector_from_sidecar({**shared, "head": baseline["head"], "dropout": baseline["dropout"]})
    if head["name"] == "baseline":
        return detector
    training = parameters["head_train"]
    reads_bank = head.get("window") is not None
    return build_scope_detector(
        {
            **shared,
            "head": {"window": None, "mlp": False, "options": {}, **head},
            "scope": parameters["scope"]["name"],
            "roi_channels": detector.roi_channels,
            "bank_channels": detector.roi_channels if reads_bank else 0,
            "dropout": training["dropout"],
            "feature_dropout": training["feature_dropout"],
        }
    )

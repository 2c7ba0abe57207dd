"""Build the detector that a set of parameters describes: the one that `evaluate` scores."""

from collections.abc import Mapping
from typing import Any

from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_detector
from pipeline.checkpoint.sidecars import read_settings
from pipeline.checkpoint.specs import DetectorSpec, FeatureSource, head_spec
from pipeline.models.detector import Detector
from pipeline.models.settings import BaselineHead, Labels, LongTermHead, RoiSettings, columns
from pipeline.video.clip_input import ClipInput


def build_recipe(parameters: Mapping[str, Any]) -> Detector:
    """Build the whole detector of a recipe; weights are drawn from torch's global generator.

    Args:
        parameters: the tree of `params.yaml`; read are `dataset.classes`, `backbone`, `roi`, `labels`, `baseline`,
            `head`, `head_train` and `scope`. With head `baseline` the result is the baseline, else the detector with
            the head; its bank then has the channels of this baseline's features.

    Raises:
        InputError: backbone, head or option is unknown, or they do not fit.
    """
    baseline, training, classes = parameters["baseline"], parameters["head_train"], parameters["dataset"]["classes"]
    labels = read_settings(Labels, parameters["labels"], "labels")
    head = read_settings(LongTermHead, parameters["head"], "head")
    spec = DetectorSpec(
        backbone=parameters["backbone"]["name"],
        width=parameters["backbone"]["width"],
        input=read_settings(ClipInput, parameters["backbone"]["input"], "backbone.input"),
        roi=read_settings(RoiSettings, parameters["roi"], "roi"),
        head=read_settings(BaselineHead, baseline["head"], "baseline.head"),
        labels=labels,
        columns=columns(classes, labels),
        classes=classes,
        dropout=baseline["dropout"],
    )
    detector = build_baseline(spec)
    if head.is_baseline:
        return detector
    source = FeatureSource(
        backbone=spec.backbone,
        width=spec.width,
        input=spec.input,
        roi=spec.roi,
        channels=detector.roi_channels,
        sha256=None,
    )
    return build_scope_detector(
        head_spec(
            head,
            source,
            scope=parameters["scope"]["name"],
            labels=labels,
            classes=classes,
            dropout=training["dropout"],
            feature_dropout=training["feature_dropout"],
            threads=training["threads"],
        )
    )

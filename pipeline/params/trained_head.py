"""Derive the head that `train_head` trains, and its initial weights, from the typed parameters."""

import torch

from pipeline.bank.reader import Bank
from pipeline.bank.remote import open_place
from pipeline.checkpoint.sidecars import read_settings
from pipeline.checkpoint.specs import FeatureSource, HeadSpec, head_spec
from pipeline.checkpoint.weights import BASELINE, read_checkpoint
from pipeline.models.build import build_backbone
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings
from pipeline.params import Params
from pipeline.params.counted_labels import counted_labels
from pipeline.training.head_training import Start
from pipeline.video.clip_input import ClipInput


def trained_head(params: Params) -> tuple[HeadSpec, Start]:
    """Return the spec of the head, and what it starts from.

    Raises:
        InputError: the baseline's sidecar or the bank is missing.
    """
    source, training = feature_source(params), params.head_train
    spec = head_spec(
        params.head,
        source,
        scope=params.scope.name,
        labels=counted_labels(params),
        classes=params.dataset.classes,
        dropout=training.dropout,
        feature_dropout=training.feature_dropout,
        threads=training.threads,
    )
    is_baseline = training.init == "baseline"
    return spec, Start(params.scope.weights if is_baseline else training.kinetics, is_baseline, source.sha256)


def feature_source(params: Params) -> FeatureSource:
    """Return what makes the features that a head works on.

    In scope head an external bank describes them. In scope all the parameters describe them, if nothing of the baseline
    is read (`inputs.use` of conf/config.yaml).

    Raises:
        InputError: the baseline's sidecar or the bank is missing.
    """
    if params.scope.sidecar == str(BASELINE.with_suffix(".json")):
        checkpoint = read_checkpoint(BASELINE)
        spec = checkpoint.detector()
        channels = spec.frozen.channels if spec.frozen else map_channels(spec.backbone, spec.width)
        return _made_by(spec.backbone, spec.width, spec.input, spec.roi, channels, checkpoint.sha256)
    if params.scope.name == "all":
        name, width = params.backbone.name, params.backbone.width
        return _made_by(name, width, params.backbone.input, params.roi, map_channels(name, width), None)
    return _named_by(open_place(params.bank.train))


def map_channels(backbone: str, width: int | None) -> int:
    """Return the channels of a backbone's map.

    Raises:
        InputError: there is no such backbone.
    """
    with torch.device("meta"):
        return build_backbone(backbone, width=width).out_channels


def _made_by(
    backbone: str, width: int | None, clip: ClipInput, roi: RoiSettings, channels: int, sha256: str | None
) -> FeatureSource:
    of_person = roi_channels(channels, roi)
    return FeatureSource(backbone=backbone, width=width, input=clip, roi=roi, channels=of_person, sha256=sha256)


def _named_by(bank: Bank) -> FeatureSource:
    """Return the feature source that a bank's provenance describes."""
    known = bank.provenance
    clip, roi = known.get("clip"), known.get("roi")
    return FeatureSource(
        backbone=known.get("recipe"),
        width=known.get("width"),
        input=None if clip is None else read_settings(ClipInput, clip, f"{bank.where}: clip"),
        roi=None if roi is None else read_settings(RoiSettings, roi, f"{bank.where}: roi"),
        channels=bank.channels,
        sha256=known.get("checkpoint_sha256"),
    )

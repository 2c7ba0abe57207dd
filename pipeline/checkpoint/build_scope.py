"""Build the network of a head's spec: the head alone (scope head), or a detector with it (scope all)."""

from dataclasses import replace
from pathlib import Path

import torch

from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.sidecars import HandedOn
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import HEAD
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head, require_scope
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings
from pipeline.models.standardise import Standardise, StandardisedHead


def build_scope_head(spec: HeadSpec) -> Head | StandardisedHead:
    """Build the head of a spec, with weights drawn from torch's global generator and neutral statistics.

    Raises:
        InputError: the head or an option is unknown, or the head cannot train in the scope.
    """
    chosen, window = spec.head, spec.head.window
    settings = HeadSettings(
        roi_channels=spec.roi_channels,
        bank_channels=spec.bank_channels,
        map_channels=spec.roi_channels // roi_channels(1, spec.roi or RoiSettings()),
        classes=spec.columns,
        dropout=spec.dropout,
        feature_dropout=spec.feature_dropout,
        mlp=chosen.mlp,
        objects=chosen.objects.per_keyframe if chosen.objects else 0,
    )
    if window:
        settings = replace(
            settings,
            mask=window.mask,
            window_seconds=window.seconds,
            span=window.span,
            per_second=window.per_second,
            exclude_keyframe=window.exclude_keyframe,
        )
    head = build_head(chosen.name, settings, chosen.options)
    require_scope(chosen.name, head, spec.scope)
    if chosen.standardise == "none":
        return head
    # In scope all the persons' features change during training, so there are no fixed statistics of them.
    roi = neutral(spec.roi_channels) if spec.scope == "head" else None
    bank = neutral(spec.bank_channels) if window else None
    return StandardisedHead(head, roi=roi, bank=bank)


def neutral(channels: int) -> Standardise:
    """Build a standardisation that changes nothing; the statistics of the train split replace it later."""
    return Standardise(torch.zeros(channels), torch.ones(channels))


def build_scope_detector(spec: HeadSpec) -> Detector:
    """Build the detector of a spec in scope all.

    Raises:
        InputError: as `build_scope_head`, or the backbone is unknown.
    """
    assert spec.backbone is not None  # in scope all it is the detector's own
    return Detector(build_backbone(spec.backbone, width=spec.width), build_scope_head(spec), roi=spec.roi)


def scored_detector(spec: HeadSpec | HandedOn, beside: Path = HEAD) -> Detector:
    """Build the detector that `evaluate` scores; for a baseline that was handed on, the baseline itself.

    For `beside` see `build_baseline`.
    """
    return (
        build_baseline(spec.detector.detector(), beside) if isinstance(spec, HandedOn) else build_scope_detector(spec)
    )

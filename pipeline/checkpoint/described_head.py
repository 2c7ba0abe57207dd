"""Heads as a sidecar describes them, with the standardisation of what they read."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.checkpoint.described_detector import detector_from_sidecar
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head, require_scope
from pipeline.models.roi import RoiSettings, roi_channels
from pipeline.models.standardise import Standardise, StandardisedHead


def build_scope_head(description: Mapping[str, Any]) -> Head | StandardisedHead:
    """The head that a description asks for, weights drawn from torch's global generator, statistics neutral.

    Args:
        description: `head` (name, mlp, options, window, standardise), `scope`, `roi` (of `RoiSettings`, or None),
            `roi_channels`, `bank_channels` (0 without a window), `columns` (of the logits), `dropout` and
            `feature_dropout`; a head's sidecar has these keys.

    Raises:
        InputError: the head or an option is unknown, or it cannot do the scope.
    """
    spec, window = description["head"], description["head"]["window"]
    settings = HeadSettings(
        roi_channels=description["roi_channels"],
        bank_channels=description["bank_channels"],
        map_channels=description["roi_channels"] // roi_channels(1, RoiSettings(**(description["roi"] or {}))),
        classes=description["columns"],
        dropout=description["dropout"],
        feature_dropout=description["feature_dropout"],
        mask=window["mask"] if window else "valid",
        mlp=spec["mlp"],
        window_seconds=window["seconds"] if window else 0,
        span=window.get("span", "centred") if window else "centred",
        per_second=window["per_second"] if window else 0,
    )
    head = build_head(spec["name"], settings, spec["options"])
    require_scope(spec["name"], head, description["scope"])
    if spec["standardise"] == "none":
        return head
    # In scope all the person's features change while they are learned: there are no statistics of them to take.
    roi = neutral(description["roi_channels"]) if description["scope"] == "head" else None
    bank = neutral(description["bank_channels"]) if window else None
    return StandardisedHead(head, roi=roi, bank=bank)


def neutral(channels: int) -> Standardise:
    """Statistics that change nothing, to be replaced by those of the train split."""
    return Standardise(torch.zeros(channels), torch.ones(channels))


def build_scope_detector(description: Mapping[str, Any]) -> Detector:
    """The detector (scope all) that a description asks for; `backbone` and `width` are its further keys."""
    backbone = build_backbone(description["backbone"], width=description["width"])
    return Detector(backbone, build_scope_head(description), roi=RoiSettings(**description["roi"]))


def scored_detector(sidecar: Mapping[str, Any]) -> Detector:
    """The detector that `evaluate` scores: the baseline itself where the sidecar has one under `detector`."""
    return detector_from_sidecar(sidecar["detector"]) if "detector" in sidecar else build_scope_detector(sidecar)

"""Heads as a sidecar describes them, with the standardisation of what they read."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head, require_scope
from pipeline.models.standardise import Standardise, StandardisedHead


def build_scope_head(description: Mapping[str, Any]) -> Head | StandardisedHead:
    """The head that a description asks for, weights drawn from torch's global generator, statistics neutral.

    Args:
        description: `head` (name, options, window, standardise), `scope`, `roi_channels`, `bank_channels` (0 without
            a window), `classes`, `dropout` and `feature_dropout`; a head's sidecar has these keys.

    Raises:
        InputError: the head or an option is unknown, or it cannot do the scope.
    """
    spec = description["head"]
    settings = HeadSettings(
        roi_channels=description["roi_channels"],
        bank_channels=description["bank_channels"],
        classes=description["classes"],
        dropout=description["dropout"],
        feature_dropout=description["feature_dropout"],
        mask=spec["window"]["mask"] if spec["window"] else "valid",
    )
    head = build_head(spec["name"], settings, spec["options"])
    require_scope(spec["name"], head, description["scope"])
    if spec["standardise"] == "none":
        return head
    # In scope all the person's features change while they are learned: there are no statistics of them to take.
    roi = neutral(description["roi_channels"]) if description["scope"] == "head" else None
    bank = neutral(description["bank_channels"]) if spec["window"] else None
    return StandardisedHead(head, roi=roi, bank=bank)


def neutral(channels: int) -> Standardise:
    """Statistics that change nothing, to be replaced by those of the train split."""
    return Standardise(torch.zeros(channels), torch.ones(channels))


def build_scope_detector(description: Mapping[str, Any]) -> Detector:
    """The detector (scope all) that a description asks for; `backbone` is its further key."""
    return Detector(build_backbone(description["backbone"]), build_scope_head(description))

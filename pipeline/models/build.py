"""The table of backbones, and the detectors that can fill a bank.

Heads that read a bank have a table of their own: `pipeline/models/heads/table.py`, which says why.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.alphaction_slowfast import alphaction_slowfast_r50_4x16, alphaction_slowfast_r101_8x8
from pipeline.models.backbones.resnet3d import pyslowfast_slow_r50, slowonly_r50, slowonly_r50_nl, slowonly_r101
from pipeline.models.backbones.slowfast import (
    pyslowfast_slowfast_r50_4x16,
    pyslowfast_slowfast_r50_8x8,
    pyslowfast_slowfast_r101_8x8,
    slowfast_r50_4x16,
    slowfast_r50_8x8,
    slowfast_r101_8x8,
)
from pipeline.models.backbones.tiny import slowfast_tiny, slowonly_tiny
from pipeline.models.backbones.videomae import videomae_b, videomae_l, videomae_tiny
from pipeline.models.detector import Backbone, Detector
from pipeline.models.heads.acrn import acrn
from pipeline.models.heads.choose import choose_head
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.heads.two_layer import two_layer
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "slowonly_r50": slowonly_r50,
    "slowonly_r101": slowonly_r101,
    "slowonly_r50_nl": slowonly_r50_nl,
    "slowfast_r50_4x16": slowfast_r50_4x16,
    "slowfast_r50_8x8": slowfast_r50_8x8,
    "slowfast_r101_8x8": slowfast_r101_8x8,
    "pyslowfast_slow_r50": pyslowfast_slow_r50,
    "pyslowfast_slowfast_r50_4x16": pyslowfast_slowfast_r50_4x16,
    "pyslowfast_slowfast_r50_8x8": pyslowfast_slowfast_r50_8x8,
    "pyslowfast_slowfast_r101_8x8": pyslowfast_slowfast_r101_8x8,
    "alphaction_slowfast_r50_4x16": alphaction_slowfast_r50_4x16,
    "alphaction_slowfast_r101_8x8": alphaction_slowfast_r101_8x8,
    "slowonly_tiny": slowonly_tiny,
    "slowfast_tiny": slowfast_tiny,
    "videomae_b": videomae_b,
    "videomae_l": videomae_l,
    "videomae_tiny": videomae_tiny,
}

BASELINE_HEADS: dict[str, Callable[..., Head]] = {"linear": linear, "two_layer": two_layer, "acrn": acrn}


def build_backbone(name: str, *, width: int | None = None) -> Backbone:
    """Build a backbone; weights are drawn from torch's global generator.

    Args:
        name: a key of `BACKBONES`.
        width: channels of the (slow pathway's) stem, or of a transformer's tokens; all other widths scale with it. None
            takes the published one (64 of a ResNet), or that of the tiny backbone.

    Raises:
        InputError: the name is not in the table, or width is not a multiple of 8.
    """
    if name not in BACKBONES:
        raise InputError(f"backbone {name}: no such backbone, expected one of {', '.join(BACKBONES)}")
    if width is None:
        return BACKBONES[name]()
    if width < 8 or width % 8:
        raise InputError(f"backbone {name}: width is {width}, expected a multiple of 8")
    return BACKBONES[name](width)


def build_detector(
    backbone: str | Backbone,
    *,
    classes: int,
    dropout: float = 0.5,
    width: int | None = None,
    roi: RoiSettings | None = None,
    head: str = "linear",
    head_options: Mapping[str, Any] | None = None,
    mlp: bool = False,
) -> Detector:
    """Build a baseline: a backbone with a head that reads no bank.

    For another head, call `Detector(build_backbone(name), head)`.

    Args:
        backbone: a key of `BACKBONES`, or a network that is built already.
        classes: columns of the logits, including the background column if there is one.
        dropout: applied before pooling and the classifier.
        width: see `build_backbone`.
        roi: see `RoiSettings`; None takes its defaults.
        head: a key of `BASELINE_HEADS`.
        head_options: keyword arguments of the head's function.
        mlp: add a hidden layer before the classifier.

    Raises:
        InputError: backbone, head or option is unknown, or the width does not fit.
    """
    network = build_backbone(backbone, width=width) if isinstance(backbone, str) else backbone
    roi = roi or RoiSettings()
    settings = HeadSettings(
        roi_channels=roi_channels(network.out_channels, roi),
        bank_channels=0,
        map_channels=network.out_channels,
        classes=classes,
        dropout=dropout,
        mlp=mlp,
    )
    return Detector(network, choose_head(BASELINE_HEADS, head, settings, head_options), roi=roi)


def parameter_count(module: nn.Module) -> int:
    """Count the trainable and frozen parameters, without buffers."""
    return sum(parameter.numel() for parameter in module.parameters())

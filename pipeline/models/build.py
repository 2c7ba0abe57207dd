"""The table of backbones, and the baseline detector.

Heads have a table of their own (`pipeline/models/heads/table.py`), for the reason given there.
"""

from collections.abc import Callable

from torch import nn

from pipeline.errors import InputError
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.resnet3d import ResNet3d, slowonly_r50, slowonly_r101
from pipeline.models.tiny import slowonly_tiny

BACKBONES: dict[str, Callable[[], ResNet3d]] = {
    "slowonly_r50": slowonly_r50,
    "slowonly_r101": slowonly_r101,
    "slowonly_tiny": slowonly_tiny,
}


def build_backbone(name: str) -> ResNet3d:
    """Build a backbone; weights are drawn from torch's global generator.

    Raises:
        InputError: the name is not in the table.
    """
    if name not in BACKBONES:
        raise InputError(f"backbone {name}: no such backbone, expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]()


def build_detector(backbone: str, *, classes: int, dropout: float = 0.5) -> Detector:
    """The baseline: a backbone with the linear head.

    With another head it is `Detector(build_backbone(name), head)`.

    Args:
        backbone: a key of `BACKBONES`.
        classes: columns of the logits.
        dropout: before pooling and the classifier.

    Raises:
        InputError: the backbone is not in the table.
    """
    network = build_backbone(backbone)
    settings = HeadSettings(roi_channels=network.out_channels, bank_channels=0, classes=classes, dropout=dropout)
    return Detector(network, linear(settings))


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen parameters, buffers not counted."""
    return sum(parameter.numel() for parameter in module.parameters())

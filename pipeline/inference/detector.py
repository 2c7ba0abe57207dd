"""A detector as its checkpoint's sidecar describes it."""

from pathlib import Path
from typing import Any

from pipeline.checkpoint import load_into, load_tensors
from pipeline.files import digest_file
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear
from pipeline.models.resnet3d import ResNet3d


def baseline_detector(backbone: str, *, classes: int, dropout: float) -> Detector:
    """The baseline: a backbone and a linear head; weights are drawn from torch's global generator."""
    network = build_backbone(backbone)
    settings = HeadSettings(roi_channels=network.out_channels, bank_channels=0, classes=classes, dropout=dropout)
    return Detector(network, linear(settings))


def detector_from_sidecar(sidecar: dict[str, Any]) -> Detector:
    """The baseline that a sidecar describes, without its weights."""
    return baseline_detector(sidecar["backbone"], classes=sidecar["classes"], dropout=sidecar["dropout"])


def load_backbone(backbone: ResNet3d, path: str) -> dict[str, Any] | None:
    """Load a safetensors file of backbone weights.

    Args:
        backbone: takes the weights.
        path: a file, or `none`.

    Returns:
        The file's name and sha256 for the record; None for `none`.

    Raises:
        InputError: the file is absent, or its keys or shapes are not the backbone's.
    """
    if path == "none":
        return None
    file = Path(path)
    load_into(backbone, load_tensors(file), path)
    return {"file": file.name, "sha256": digest_file(file)}

"""A detector as its checkpoint's sidecar describes it."""

from pathlib import Path
from typing import Any

from pipeline.checkpoint import load_into, load_tensors
from pipeline.files import digest_file
from pipeline.models.build import build_detector
from pipeline.models.detector import Detector
from pipeline.models.resnet3d import ResNet3d


def detector_from_sidecar(sidecar: dict[str, Any]) -> Detector:
    """The baseline that a sidecar describes, without its weights."""
    return build_detector(sidecar["backbone"], classes=sidecar["classes"], dropout=sidecar["dropout"])


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

"""Build a baseline from its spec, and load the weights that its backbone starts from."""

from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.specs import DetectorSpec
from pipeline.checkpoint.weights import load_checkpoint, load_into, load_tensors
from pipeline.models.build import build_detector
from pipeline.models.detector import Backbone, Detector


def build_baseline(spec: DetectorSpec) -> Detector:
    """Build the detector of a spec, with weights drawn from torch's global generator.

    Raises:
        InputError: backbone, head or option is unknown, or they do not fit.
    """
    return build_detector(
        spec.backbone,
        width=spec.width,
        roi=spec.roi,
        head=spec.head.name,
        head_options=spec.head.options,
        mlp=spec.head.mlp,
        classes=spec.columns,
        dropout=spec.dropout,
    )


def load_backbone(backbone: Backbone, path: str) -> dict[str, str] | None:
    """Load a safetensors file of backbone weights.

    Args:
        backbone: the network that gets the weights.
        path: a file, or `none`.

    Returns:
        The file's name and sha256 for the record; None for `none`.

    Raises:
        InputError: the file is absent, holds a whole detector, or its keys or shapes are not the backbone's.
        DamagedError: the file is not the one that its sidecar describes.
    """
    if path == "none":
        return None
    file = Path(path)
    if file.with_suffix(".json").is_file():
        tensors, checkpoint = load_checkpoint(file)
        kind = checkpoint.kind
    else:
        tensors, kind = load_tensors(file), "backbone"
    if kind != "backbone":
        raise InputError(f"{path}: is a {kind}, expected a backbone (`actionbank convert` makes one of a classifier)")
    load_into(backbone, tensors, path)
    return {"file": file.name, "sha256": digest_file(file)}

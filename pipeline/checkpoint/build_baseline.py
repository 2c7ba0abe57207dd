"""Build a baseline from its spec, and load the weights that its backbone starts from."""

from pathlib import Path

from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.specs import DetectorSpec, HeadSpec
from pipeline.checkpoint.weights import load_checkpoint, load_into, load_tensors
from pipeline.models.build import build_detector
from pipeline.models.detector import Detector


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


def feature_detector(spec: DetectorSpec | HeadSpec, tensors: dict[str, Tensor], where: str) -> Detector:
    """Build the detector of a spec for its features alone, with its weights.

    A long-term head, which features do not depend on, is not built: an unused linear one stands in its place.

    Args:
        spec: see `Checkpoint.features`.
        tensors: the weights of the whole checkpoint.
        where: the file of weights, for messages.

    Raises:
        InputError: see `build_baseline`, or the weights do not fit.
    """
    if isinstance(spec, DetectorSpec):
        detector = build_baseline(spec)
        load_into(detector, tensors, where)
        return detector
    assert spec.backbone is not None  # in scope all it is the detector's own
    detector = build_detector(spec.backbone, width=spec.width, roi=spec.roi, classes=spec.columns)
    load_into(detector.backbone, backbone_weights(tensors), where)
    return detector


def backbone_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the weights of the backbone out of those of a detector, under the backbone's own keys."""
    prefix = "backbone."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_backbone(backbone: nn.Module, path: str) -> dict[str, str] | None:
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

"""A detector as its checkpoint's sidecar describes it."""

from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.weights import load_checkpoint, load_into, load_tensors
from pipeline.models.build import build_detector
from pipeline.models.detector import Backbone, Detector
from pipeline.models.roi import RoiSettings


def detector_from_sidecar(sidecar: dict[str, Any]) -> Detector:
    """The baseline that a sidecar describes, without its weights.

    Args:
        sidecar: has `backbone`, `width`, `roi` (of `RoiSettings`), `head` (name, mlp, options), `columns` (of the
            logits) and `dropout`.
    """
    head = sidecar["head"]
    return build_detector(
        sidecar["backbone"],
        width=sidecar["width"],
        roi=RoiSettings(**sidecar["roi"]),
        head=head["name"],
        head_options=head["options"],
        mlp=head["mlp"],
        classes=sidecar["columns"],
        dropout=sidecar["dropout"],
    )


def load_backbone(backbone: Backbone, path: str) -> dict[str, Any] | None:
    """Load a safetensors file of backbone weights.

    Args:
        backbone: takes the weights.
        path: a file, or `none`.

    Returns:
        The file's name and sha256 for the record; None for `none`.

    Raises:
        InputError: the file is absent, holds a whole detector, or its keys or shapes are not the backbone's.
        DamagedError: it is not the file that its sidecar describes.
    """
    if path == "none":
        return None
    file = Path(path)
    if file.with_suffix(".json").is_file():
        tensors, sidecar = load_checkpoint(file)
        kind = sidecar.get("kind")
    else:
        tensors, kind = load_tensors(file), "backbone"
    if kind != "backbone":
        raise InputError(f"{path}: is a {kind}, expected a backbone (`actionbank convert` makes one of a classifier)")
    load_into(backbone, tensors, path)
    return {"file": file.name, "sha256": digest_file(file)}

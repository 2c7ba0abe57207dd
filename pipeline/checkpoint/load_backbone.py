"""Load the weights that a backbone starts from."""

from pathlib import Path

from torch import nn

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file
from pipeline.checkpoint.weights import load_checkpoint, load_into, load_tensors


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

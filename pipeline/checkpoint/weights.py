"""Checkpoints: a safetensors file of weights, and a JSON sidecar that describes them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from pipeline.base.checksums import REMEDY, read_sealed_json, write_sealed_json
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import path_bytes, write_bytes
from pipeline.checkpoint.sidecars import Checkpoint

BASELINE = Path("models/baseline.safetensors")
HEAD = Path("models/head.safetensors")
RECOGNIZER = Path("models/recognizer.safetensors")


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write tensors atomically, from the CPU, without metadata (its order varies between processes).

    Returns:
        sha256 (hex) of the file.
    """
    data = save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})
    write_bytes(path, data, read_only=True)
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Args:
        path: the file.
        sha256: the digest that its bytes must have; None if none was recorded.

    Raises:
        InputError: the file is absent, or not a complete safetensors file.
        DamagedError: it has another sha256.
    """
    data = path_bytes(path)
    if sha256 is not None:
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            fault = f"sha256 is {found[:12]}, was written with {sha256[:12]}"
            raise DamagedError(f"{path}: is damaged or of another run: {fault}; {REMEDY}")
    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file: {error}") from None
    return tensors


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor], checkpoint: Checkpoint) -> str:
    """Write `path` (weights) and its sidecar `path.with_suffix(".json")`; return the weights' sha256."""
    digest = save_tensors(path, tensors)
    write_sealed_json(path.with_suffix(".json"), replace(checkpoint, sha256=digest).to_json())
    return digest


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the sidecar of the weights at `path`; the weights themselves need not exist.

    Raises:
        InputError: there is no sidecar, or `Checkpoint.from_json` refuses it.
        DamagedError: it has changed since it was written.
    """
    sidecar = path.with_suffix(".json")
    return Checkpoint.from_json(read_sealed_json(sidecar), str(sidecar))


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], Checkpoint]:
    """Load weights and their sidecar, and check that they belong together.

    Raises:
        InputError: a file is absent, or `Checkpoint.from_json` refuses the sidecar.
        DamagedError: the weights are not those that the sidecar describes, or the sidecar has changed.
    """
    checkpoint = read_checkpoint(path)
    return load_tensors(path, checkpoint.sha256), checkpoint


def load_into(model: torch.nn.Module, tensors: dict[str, torch.Tensor], what: str) -> None:
    """Load weights into `model`, which must have exactly these keys and shapes.

    Raises:
        InputError: keys or shapes differ; the message names the first key of each kind of difference.
    """
    own = model.state_dict()
    faults = {
        "missing": [key for key in own if key not in tensors],
        "unexpected": [key for key in tensors if key not in own],
        "of another shape": [key for key in own if key in tensors and own[key].shape != tensors[key].shape],
    }
    wrong = [f"{len(keys)} {kind} (the first: {keys[0]})" for kind, keys in faults.items() if keys]
    if wrong:
        raise InputError(f"{what}: the weights do not fit the model: {', '.join(wrong)}")
    model.load_state_dict(tensors)

"""Our checkpoints: a safetensors file of weights and a JSON sidecar of everything that is known about them."""

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


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write tensors atomically, on the CPU, without metadata (its order varies between processes).

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
        sha256: what its bytes must have; None where nobody recorded it.

    Raises:
        InputError: the file is absent or no whole safetensors file.
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
    """Write `path` (weights) and its sidecar `path.with_suffix(".json")`; returns the weights' sha256."""
    digest = save_tensors(path, tensors)
    write_sealed_json(path.with_suffix(".json"), replace(checkpoint, sha256=digest).to_json())
    return digest


def read_checkpoint(path: Path) -> Checkpoint:
    """What the sidecar of the weights at `path` says; the weights themselves need not be there.

    Raises:
        InputError: no sidecar, or one that is not as `Checkpoint.from_json` wants it.
        DamagedError: it was changed since it was written.
    """
    sidecar = path.with_suffix(".json")
    return Checkpoint.from_json(read_sealed_json(sidecar), str(sidecar))


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], Checkpoint]:
    """Weights and what their sidecar says, checked against each other.

    Raises:
        InputError: a file is absent, or the sidecar is not as `Checkpoint.from_json` wants it.
        DamagedError: the weights are not those that the sidecar describes, or the sidecar was changed.
    """
    checkpoint = read_checkpoint(path)
    return load_tensors(path, checkpoint.sha256), checkpoint


def load_into(model: torch.nn.Module, tensors: dict[str, torch.Tensor], what: str) -> None:
    """Load exactly these weights into `model`.

    Raises:
        InputError: keys or shapes differ; the first of each kind is named.
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

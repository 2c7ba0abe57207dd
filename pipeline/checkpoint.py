"""Our checkpoints: a safetensors file of weights and a JSON sidecar of everything that is known about them."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from pipeline.errors import InputError
from pipeline.files import digest_file, read_json, write_bytes, write_json
from pipeline.sidecars import checked_sidecar

BASELINE = Path("models/baseline.safetensors")
HEAD = Path("models/head.safetensors")


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors atomically, on the CPU, without metadata (its order varies between processes)."""
    write_bytes(path, save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}))


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        InputError: the file is absent or no whole safetensors file.
    """
    try:
        tensors: dict[str, torch.Tensor] = load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file: {error}") from None
    return tensors


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor], sidecar: dict[str, Any]) -> str:
    """Write `path` (weights) and its sidecar `path.with_suffix(".json")`; returns the weights' sha256."""
    save_tensors(path, tensors)
    digest = digest_file(path)
    write_json(path.with_suffix(".json"), {**sidecar, "sha256": digest})
    return digest


def read_sidecar(path: Path) -> dict[str, Any]:
    """The sidecar of the weights at `path`; the weights themselves need not be there.

    Raises:
        InputError: no sidecar, or one that is not as `checked_sidecar` wants it.
    """
    return checked_sidecar(read_json(path.with_suffix(".json")), path.with_suffix(".json"))


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and sidecar, checked against each other.

    Raises:
        InputError: a file is absent, or the weights are not those that the sidecar describes.
    """
    sidecar = read_sidecar(path)
    tensors = load_tensors(path)
    found = digest_file(path)
    if found != sidecar["sha256"]:
        raise InputError(f"{path}: sha256 is {found[:12]}, its sidecar says {sidecar['sha256'][:12]}")
    return tensors, sidecar


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

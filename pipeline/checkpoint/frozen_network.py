"""The frozen network of a project: `backbone.safetensors` and its sidecar, beside the checkpoints that read it.

`import_backbone` writes both (`pipeline/checkpoint/import_network.py`). No checkpoint holds these weights again.
"""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import InputError, how_to_install
from pipeline.base.files import digest_value
from pipeline.checkpoint.sidecars import Checkpoint, plain, read_settings
from pipeline.checkpoint.specs import BackboneSpec, FrozenSpec
from pipeline.checkpoint.weights import load_into, load_tensors, read_checkpoint
from pipeline.models.backbones.token_map import TokenLayout, TokenMap
from pipeline.video.clip_input import ClipInput

NETWORK = Path("models/backbone.safetensors")
CLASSES = {"videomae": "VideoMAE", "vjepa2": "VJEPA2", "timesformer": "Timesformer"}
"By the model type of config.json; the library has a Config and a Model of each."


@dataclass(frozen=True)
class FrozenNetwork:
    """What the sidecar of a frozen network says."""

    config: dict[str, Any]
    "The network's config.json, without the names of its classes."
    spec: FrozenSpec
    layout: TokenLayout
    sha256: str
    "Of the weights."


def library() -> Any:
    """Import transformers.

    By name, so that it is no library of the stages that use a network of ours: its version is one of the stage
    `import_backbone`, which hands it on in the sidecar.

    Raises:
        InputError: the package is absent.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError(
            f"backbone transformers needs the package {error.name}; {how_to_install('transformers')}"
        ) from None


def read_network(path: Path) -> FrozenNetwork:
    """Read the sidecar of a frozen network.

    Raises:
        InputError: it is absent, or describes something else.
    """
    checkpoint = read_checkpoint(path)
    known: Any = checkpoint.record
    where = str(path.with_suffix(".json"))
    if "frozen" not in known:
        raise InputError(f"{where}: is a {checkpoint.named}, expected what import_backbone writes")
    spec = read_settings(FrozenSpec, known["frozen"], f"{where}: frozen")
    layout = read_settings(TokenLayout, known["layout"], f"{where}: layout")
    return FrozenNetwork(known["config"], spec, layout, checkpoint.sha256)


def as_checkpoint(network: FrozenNetwork) -> Checkpoint:
    """Return what the sidecar of a frozen network holds."""
    record: Any = {"frozen": plain(network.spec), "layout": plain(network.layout), "config": network.config}
    return Checkpoint(spec=BackboneSpec(backbone="transformers"), record=record)


def load_network(path: Path, clip: ClipInput, expected: FrozenSpec | None = None) -> TokenMap:
    """Load a frozen network as a backbone.

    Args:
        path: the weights; the sidecar lies beside them.
        clip: the clips that it will get.
        expected: what a checkpoint says of the network that it was trained with; None takes any.

    Raises:
        InputError: it is absent, another one than expected, or cannot take such clips; or transformers is absent.
        DamagedError: the bytes have changed since they were written.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file, and the checkpoint reads a frozen network that it does not hold; dvc pull or "
            "dvc repro import_backbone brings it"
        )
    known = read_network(path)
    if expected is not None and known.spec != expected:
        raise InputError(
            f"{path}: is {known.spec}, and the checkpoint was trained with {expected}; dvc repro, or dvc checkout"
        )
    layout = fitted_layout(known.layout, clip)
    with torch.random.fork_rng(devices=[]):  # what it draws is overwritten, and is no draw of the detector
        network = build_network(known.config, layout)
    load_into(network, load_tensors(path, known.sha256), str(path))
    digest = digest_value([known.spec.sha256, known.spec.config, known.spec.library])
    return TokenMap(network, layout, bytes.fromhex(digest))


def fitted_layout(layout: TokenLayout, clip: ClipInput) -> TokenLayout:
    """Return the layout for clips of these settings: V-JEPA 2's positions are those of any square that it is told of.

    Raises:
        InputError: the network cannot take them; told for square clips, whose size the settings say.
    """
    if clip.shape != "square":
        return layout
    side = clip.short_side
    if layout.model_type == "vjepa2":
        layout = replace(layout, size=(side, side))
    if fault := layout.fault(clip.frames, side, side):
        raise InputError(f"backbone.input: the {layout.model_type} of backbone.folder cannot take it: {fault}")
    return layout


def build_network(config: dict[str, Any], layout: TokenLayout) -> nn.Module:
    """Build the part of a model that makes tokens, with weights drawn from torch's global generator.

    Raises:
        InputError: transformers is absent.
    """
    name = CLASSES[layout.model_type]
    transformers = library()
    more = {"crop_size": layout.size[0]} if layout.model_type == "vjepa2" else {}
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config").from_dict({**config, **more}))
    return tokens_part(model)


def tokens_part(model: Any) -> nn.Module:
    """Return what makes the tokens of a model: of V-JEPA 2 the encoder, without the predictor of its training."""
    part: nn.Module = model.encoder if hasattr(model, "predictor") else model
    return part.eval()

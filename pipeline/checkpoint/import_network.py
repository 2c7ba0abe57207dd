"""Import a network from a Hugging Face folder: check it, and write its weights with our sidecar.

A folder is read, never downloaded, and nothing in it is run: its weights are safetensors, its classes those of the
library.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, digest_value, read_json
from pipeline.checkpoint.frozen_network import (
    CLASSES,
    FrozenNetwork,
    as_checkpoint,
    fitted_layout,
    library,
    tokens_part,
)
from pipeline.checkpoint.specs import FrozenSpec
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.models.backbones.token_map import TokenLayout
from pipeline.video.clip_input import ClipInput

WEIGHTS, PICKLE, PARTS = "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"
PREPARES = ("video_preprocessor_config.json", "preprocessor_config.json")
# Of config.json: names of classes, and what says nothing of the arithmetic.
LEFT_OUT = (
    *("id2label", "label2id", "auto_map", "architectures", "_name_or_path", "transformers_version", "dtype"),
    *("torch_dtype", "return_dict", "output_hidden_states", "output_attentions", "problem_type"),
)
CLOSE = 1e-3


def import_network(folder: Path, clip: ClipInput, to: Path) -> str:
    """Write the weights that make a network's tokens, in float32, and their sidecar; return a line about it.

    Args:
        folder: config.json, model.safetensors and, with the mean and deviation of its clips, preprocessor_config.json.
        clip: the clips that the network will get.
        to: the file of the weights.

    Raises:
        InputError: the folder is not whole, of another kind, needs other clips, or transformers is absent.
    """
    config = read_config(folder)
    layout = layout_of(config, folder)
    fitted_layout(layout, clip)
    told = check_normalisation(folder, clip)
    network = _load(folder, layout)
    spec = FrozenSpec(
        model_type=layout.model_type,
        folder=folder.resolve().name,
        sha256=digest_file(folder / WEIGHTS),
        config=digest_value(config),
        library=f"transformers {library().__version__}",
        channels=layout.channels,
    )
    save_checkpoint(to, dict(network.state_dict()), as_checkpoint(FrozenNetwork(config, spec, layout, "")))
    return f"{layout.model_type} of {spec.folder}, {spec.channels} channels, {spec.library}{told}"


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a folder whose weights can be read.

    Raises:
        InputError: a file is absent, the weights are pickled or in parts, or the model is of another type.
    """
    if not folder.is_dir():
        raise InputError(f"backbone.folder: {folder}: no such folder; expected one with config.json and {WEIGHTS}")
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"backbone.folder: {folder}: has no config.json; expected a model's folder with {WEIGHTS}")
    found = read_json(path)
    config = {key: value for key, value in found.items() if key not in LEFT_OUT} if isinstance(found, dict) else {}
    kind = config.get("model_type")
    if kind not in CLASSES:
        raise InputError(f"{path}: model_type is {kind!r}, expected one of {', '.join(CLASSES)}")
    name = f"{CLASSES[kind]}Model"
    if not (folder / WEIGHTS).is_file():
        again = (
            f"python -c \"from transformers import {name} as M; M.from_pretrained('{folder}').save_pretrained('NEW', "
            "max_shard_size='100GB')\""
        )
        if (folder / PARTS).is_file():
            raise InputError(f"{folder / PARTS}: the weights are in parts, expected one {WEIGHTS}; {again} writes it")
        if (folder / PICKLE).is_file():
            raise InputError(
                f"{folder / PICKLE}: is a pickle, which may run code as it is read, and is not read here; expected "
                f"{WEIGHTS}; if you trust it, {again} writes a folder with one"
            )
        raise InputError(f"backbone.folder: {folder}: has no {WEIGHTS}")
    return config


def layout_of(config: dict[str, Any], folder: Path) -> TokenLayout:
    """Return how a network's tokens lie, from its configuration and the library's defaults.

    Raises:
        InputError: the configuration is not one of a network whose tokens make a map.
    """
    kind = config["model_type"]
    known = getattr(library(), f"{CLASSES[kind]}Config").from_dict(config)
    where = folder / "config.json"
    patch, side = known.patch_size, known.crop_size if kind == "vjepa2" else known.image_size
    size = (side, side) if isinstance(side, int) else tuple(side)
    if not isinstance(patch, int) or (kind == "timesformer" and not isinstance(side, int)):
        raise InputError(f"{where}: patch_size is {patch} and image_size {side}, expected whole numbers")
    if kind == "timesformer" and known.attention_type == "space_only":
        raise InputError(f"{where}: attention_type is space_only, which has no tokens of times; expected another")
    frames = known.frames_per_clip if kind == "vjepa2" else known.num_frames
    tubelet = 1 if kind == "timesformer" else known.tubelet_size
    return TokenLayout(
        model_type=kind, channels=known.hidden_size, patch=patch, tubelet=tubelet, frames=frames, size=size
    )


def check_normalisation(folder: Path, clip: ClipInput) -> str:
    """Check that clips are normalised as the folder says; return what is to be said of it, if it says nothing.

    Raises:
        InputError: the settings have another mean or deviation.
    """
    path = next((folder / name for name in PREPARES if (folder / name).is_file()), None)
    if path is None:
        return f"; it has no {PREPARES[1]}, so nothing says whether backbone.input.mean and std are its own"
    found = read_json(path)
    scale = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
    named = found if found.get("do_normalize", True) else {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    for name, ours in (("mean", clip.mean), ("std", clip.std)):
        theirs = [round(each / scale, 3) for each in named.get(f"image_{name}") or []]
        near = len(theirs) == 3 and all(abs(a - b) <= CLOSE * 255 for a, b in zip(theirs, ours, strict=True))
        if not near:
            raise InputError(
                f"backbone.input.{name} is {json.dumps(ours)}, {path} says {theirs or 'nothing'} (of values 0 to 255); "
                f"-S 'backbone.input.{name}={theirs}' takes it"
            )
    return ""


def _load(folder: Path, layout: TokenLayout) -> nn.Module:
    """Load the weights into the library's model, and return the part that makes tokens.

    Raises:
        InputError: weights are missing, or are no weights of it.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = getattr(transformers, f"{CLASSES[layout.model_type]}Model").from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # whatever the library makes of a damaged file
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{folder / WEIGHTS}: cannot be read as a {layout.model_type}: {reason}") from None
    network = tokens_part(model)
    prefix = "encoder." if network is not model else ""
    lacking = sorted(each for each in report["missing_keys"] if each.startswith(prefix))
    if lacking:
        raise InputError(
            f"{folder / WEIGHTS}: lacks {len(lacking)} weights of a {layout.model_type} (the first: {lacking[0]}), "
            "which would be drawn at random"
        )
    return network

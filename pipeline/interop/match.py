"""Find the network of ours to which a foreign state dict belongs, by keys and shapes."""

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.conversion import fit_state
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.backbones.videomae import VideoMae
from pipeline.models.build import BACKBONES, build_backbone
from pipeline.models.detector import Backbone
from pipeline.models.roi import roi_channels
from pipeline.models.settings import RoiSettings

PUBLISHED_WIDTH = {
    "slowonly_tiny": 16, "slowfast_tiny": 16, "videomae_b": 768, "videomae_l": 1024, "videomae_tiny": 96
}  # fmt: skip


@dataclass(frozen=True)
class MatchedBackbone:
    """A backbone of our table that fits the weights."""

    name: str
    width: int | None
    "As `build_backbone` takes it: None means the published width."
    network: Backbone
    "The network on the meta device."


@dataclass(frozen=True)
class MatchedHead:
    """What the weights of a head show."""

    name: str
    mlp: bool
    columns: int
    options: dict[str, Any] = field(default_factory=dict)
    bank_channels: int = 0
    window_seconds: int = 0
    "Length of the window, where the weights show it."
    objects: bool = False
    "Whether it reads objects."


def match_backbone(weights: Mapping[str, Tensor], *, family: str, name: str | None = None) -> MatchedBackbone:
    """Return the backbone that has these keys and shapes.

    Args:
        weights: the weights under our names, each with the prefix `backbone.`.
        family: `pyslowfast` or `alphaction` searches the backbones of that name, anything else searches the others. Of
            a transformer the weights themselves tell.
        name: the expected backbone; if given, no other is tried.

    Raises:
        InputError: no backbone fits (the message gives the nearest and its first differences), or several fit.
    """
    stem = next((weights[key] for key in _STEMS if key in weights), None)
    if stem is None or not stem.shape:
        raise InputError(f"no backbone of this project has these weights: expected {' or '.join(_STEMS)}")
    family = "videomae" if _PATCHES in weights else family
    found, faults = [], {}
    for each in [name] if name else BACKBONES:
        if not name and _family(each) != family:
            continue
        width = len(stem) if len(stem) != PUBLISHED_WIDTH.get(each, 64) else None
        try:
            network = _on_meta(each, width)
            expected = {f"backbone.{key}": value for key, value in network.state_dict().items()}
            fit_state(weights, expected, lambda key: key)
        except InputError as error:
            faults[each] = str(error)
        else:
            found.append(MatchedBackbone(each, width, network))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(each.name for each in found)
        raise InputError(f"the weights fit {names} alike; say which with --set backbone=NAME")
    nearest = min(faults, key=lambda each: _distance(weights, each))
    kind = "backbone" if name else "nearest backbone"
    raise InputError(f"the weights are not those of the {kind} {nearest}: {faults[nearest]}")


FAMILIES = ("pyslowfast", "alphaction", "videomae")
"Backbones whose names begin so are of one source, or of one kind."


def _family(name: str) -> str:
    return next((each for each in FAMILIES if name.startswith(f"{each}_")), "")


_PATCHES = "backbone.patch_embed.projection.weight"
_STEMS = ("backbone.conv1.conv.weight", "backbone.slow_path.conv1.conv.weight", _PATCHES)


@functools.cache
def _on_meta(name: str, width: int | None) -> Backbone:
    """Return a backbone on the meta device, which has keys and shapes alone; it is shared: change nothing in it."""
    with torch.device("meta"):
        return build_backbone(name, width=width)


def _distance(weights: Mapping[str, Tensor], name: str) -> int:
    """Return the number of keys that only one of the two has."""
    expected = {f"backbone.{key}" for key in _on_meta(name, None).state_dict() if not _counts(key)}
    return len(expected ^ {key for key in weights if not _counts(key)})


def _counts(key: str) -> bool:
    return key.endswith(("num_batches_tracked", "running_mean", "running_var"))


def match_head(
    weights: Mapping[str, Tensor], backbone: Backbone, roi: RoiSettings, *, told: Collection[str]
) -> MatchedHead:
    """Return the head that has these keys and shapes.

    Args:
        weights: the weights under our names, each with the prefix `head.`.
        backbone: the backbone whose features the head reads.
        roi: how the features of a person are cut out.
        told: heads that the user names, if any. They decide what weights do not show: whether a classifier with twice
            the channels follows a global context, or the mean or maximum of a bank's window.

    Raises:
        InputError: the weights fit no known head, or several.
    """
    mlp = "head.classifier.2.weight" in weights
    first = weights.get("head.classifier.0.weight" if mlp else "head.classifier.weight")
    last = weights.get("head.classifier.2.weight" if mlp else "head.classifier.weight")
    if first is None or last is None or first.dim() != 2 or last.dim() != 2:
        raise InputError("the weights have no classifier of persons: expected roi_head.bbox_head.fc_cls or the like")
    channels, columns = roi_channels(backbone.out_channels, roi), len(last)
    if "head.shared.conv1.conv.weight" in weights:
        convs = 1 + len({key.split(".")[3] for key in weights if key.startswith("head.shared.convs.")})
        return MatchedHead("acrn", mlp, columns, {"convs": convs})
    if "head.shared.project_bank.weight" in weights:
        bank = weights["head.shared.project_bank.weight"]
        if bank.dim() < 2:
            raise InputError(f"head.shared.project_bank.weight: shape is {tuple(bank.shape)}, expected two sides")
        layers = len({key.split(".")[3] for key in weights if key.startswith("head.shared.layers.")})
        return MatchedHead("lfb_nl", mlp, columns, {"layers": layers, "latent": len(bank)}, bank.shape[1])
    if "head.shared.fc1.weight" in weights:
        return MatchedHead("two_layer", mlp, columns, {"hidden": len(weights["head.shared.fc1.weight"])})
    if "head.shared.interaction.reduce_person.weight" in weights:
        return _match_interaction(weights, mlp, columns)
    if first.shape[1] == channels:
        return MatchedHead("linear", mlp, columns)
    pooled = [each for each in ("lfb_max", "lfb_avg") if each in told]
    if pooled and first.shape[1] > channels:
        return MatchedHead(pooled[0], mlp, columns, {}, first.shape[1] - channels)
    if first.shape[1] == 2 * backbone.out_channels:
        raise InputError(
            f"the classifier reads {first.shape[1]} channels, twice those of the backbone: of a global context, or of "
            "a bank's maximum or mean, which weights cannot tell; say which: --recipe NAME, "
            "--set roi.context=global, --set head=lfb_max or --set head=lfb_avg"
        )
    raise InputError(f"the classifier reads {first.shape[1]} channels, expected {channels} of the features of persons")


_BLOCK = re.compile(r"head\.shared\.interaction\.blocks\.([POM][1-9]\d*)\.query\.weight")


def _match_interaction(weights: Mapping[str, Tensor], mlp: bool, columns: int) -> MatchedHead:
    """Return the AIA head that has these weights; its blocks follow each other as their keys do."""
    prefix = "head.shared.interaction."
    names = [each[1] for each in map(_BLOCK.fullmatch, weights) if each]
    widened = [name for name in names if f"{prefix}blocks.{name}.shortcut.weight" in weights]
    if any(key.startswith(f"{prefix}mixtures.") for key in weights):
        head = "aia_dense_serial"
    else:
        head = "aia_parallel" if len(widened) > 1 else "aia_serial"
    if not names or (head != "aia_parallel" and widened not in ([], [names[-1]])):
        raise InputError(
            f"the blocks of the interaction stand as {', '.join(names) or 'none'} in the file, of which "
            f"{', '.join(widened) or 'none'} widens the result, expected the last one: its keys are out of order"
        )
    memory = next((name for name in names if name[0] == "M"), None)
    hidden, latent = weights.get("head.shared.layers.fc1.weight"), weights[f"{prefix}reduce_person.weight"]
    bank = weights.get(f"{prefix}reduce_memory.weight")
    position = weights.get(f"{prefix}blocks.{memory}.position_k")
    if hidden is None or (memory and (bank is None or bank.dim() < 2 or position is None)):
        raise InputError("the weights of the interaction are not whole: the hidden layers or those of the memory lack")
    order = "".join(name[0] for name in names)
    return MatchedHead(
        head,
        mlp,
        columns,
        {"order": order, "latent": len(latent), "hidden": len(hidden)},
        bank_channels=bank.shape[1] if memory and bank is not None else 0,
        window_seconds=len(position) if memory and position is not None else 0,
        objects="O" in order,
    )


def unseen(backbone: MatchedBackbone) -> list[str]:
    """Return lines on the settings that leave no trace in the weights, and the values assumed for them."""
    network = backbone.network
    if isinstance(network, VideoMae):
        return [f"attention heads {network.heads}, clips of {network.frames} frames, as {backbone.name}"]
    lines = [f"spatial strides and dilations are taken as those of {backbone.name}"]
    if isinstance(network, SlowFast):
        lines.append(f"alpha {network.alpha} and slow frames by {network.slow_frames}, likewise")
    return lines

"""Read the weights of VideoMAE's vision transformers: the original's, those of transformers, and MMAction2's.

All give the tensors of one network under the source's names, and words on what differs: what was left out, what was
made, and what weights do not show. Shapes and names only; this module reads no file.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.conversion import some
from pipeline.models.backbones.videomae import EPS, sine_table

LICENCE = "licence: VideoMAE's published weights, and what is trained from them, are CC BY-NC 4.0: no commercial use"
TABLE_ERROR = 1e-3
"A table that was stored in half precision still counts as the fixed one."
_ORIGINAL = re.compile(r"((?:encoder\.|backbone\.)?)patch_embed\.proj\.weight")
_TRANSFORMERS = re.compile(r"((?:videomae\.)?)embeddings\.patch_embeddings\.projection\.weight")
_MMACTION2 = "backbone.patch_embed.projection.weight"
# Of a pre-training: it paints the patches that were masked. In the files of transformers, and in the original's.
_DECODER = re.compile(r"(videomae\.)?(decoder\.|encoder_to_decoder\.|mask_token$|position_embeddings$)")
_LAYER_PARTS = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_ATTENTION = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.(qkv\.weight|q_bias|v_bias)")


@dataclass
class ReadWeights:
    """The weights of a transformer under the source's names, and what was done to them."""

    tensors: dict[str, Tensor]
    prefix: str
    "Before every name of the backbone."
    dropped: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    "Names among `tensors` that the file lacks."
    notes: list[str] = field(default_factory=list)

    def drop(self, names: Collection[str]) -> None:
        """Leave tensors out."""
        for name in names:
            del self.tensors[name]
        self.dropped += names

    def make(self, name: str, value: Tensor) -> None:
        """Add a tensor that the file lacks."""
        self.tensors[name] = value
        self.made.append(name)


def is_original(names: Collection[str]) -> bool:
    """Return whether keys are those of the original VideoMAE; MViT and Hiera have another position table."""
    return any(map(_ORIGINAL.fullmatch, names)) and not any("pos_embed_spatial" in name for name in names)


def is_transformers(names: Collection[str]) -> bool:
    """Return whether keys are those of VideoMAE in transformers."""
    return any(map(_TRANSFORMERS.fullmatch, names))


def is_videomae(names: Collection[str]) -> bool:
    """Return whether a file is of the original layout or of transformers'; MMAction2's are told by `is_mmaction2`."""
    return is_original(names) or is_transformers(names)


def is_mmaction2(names: Collection[str]) -> bool:
    """Return whether keys are those of a vision transformer of MMAction2."""
    return _MMACTION2 in names


def read_original(tensors: Mapping[str, Tensor]) -> ReadWeights:
    """Read the files of MCG-NJU/VideoMAE: pre-trained (`encoder.`), fine-tuned, or with the prefix `backbone.`.

    Raises:
        InputError: see `_completed`.
    """
    return _completed(ReadWeights(dict(tensors), _prefix(tensors, _ORIGINAL)), "patch_embed.proj.weight")


def read_mmaction2(tensors: Mapping[str, Tensor]) -> ReadWeights:
    """Read the detectors and classifiers of MMAction2.

    Raises:
        InputError: see `_completed`.
    """
    return _completed(ReadWeights(dict(tensors), "backbone."), "patch_embed.projection.weight")


def read_transformers(tensors: Mapping[str, Tensor]) -> ReadWeights:
    """Read the files of transformers, whose queries, keys and values are three layers.

    Raises:
        InputError: a block has not all three; or see `_completed`.
    """
    found = ReadWeights(dict(tensors), _prefix(tensors, _TRANSFORMERS))
    attention = f"{found.prefix}encoder.layer.{{}}.attention.attention."
    blocks = {int(each[1]) for each in (_LAYER.search(name) for name in tensors) if each}
    for block in sorted(blocks):
        place = attention.format(block)
        parts = [f"{place}{part}.weight" for part in ("query", "key", "value")]
        absent = [name for name in parts if name not in tensors]
        if absent:
            raise InputError(f"{absent[0]} is missing: a block of VideoMAE has queries, keys and values")
        if any(tensors[name].dim() != 2 for name in parts):
            raise InputError(f"{parts[0]}: expected matrices for queries, keys and values")
        found.tensors[f"{place}qkv.weight"] = torch.cat([found.tensors.pop(name) for name in parts])
        for part, ours in (("query", "q_bias"), ("value", "v_bias")):
            if f"{place}{part}.bias" in tensors:
                found.tensors[f"{place}{ours}"] = found.tensors.pop(f"{place}{part}.bias")
        if f"{place}key.bias" in tensors:
            _drop_key_bias(found, f"{place}key.bias", tensors[f"{place}key.bias"])
    found.notes.append(f"queries, keys and values of {len(blocks)} blocks are put together, in this order")
    epsilon = "as VideoMAE was trained; the configuration of transformers has 1e-12"
    found.notes.append(f"norms have epsilon {EPS:g}, {epsilon}")
    return _completed(found, "embeddings.patch_embeddings.projection.weight")


def our_key(key: str, prefix: str) -> str | None:
    """Return our name of a key of the original or of transformers; None if there is no counterpart."""
    if not key.startswith(prefix):
        return None
    name = key.removeprefix(prefix)
    attention, layer = _ATTENTION.fullmatch(name), _LAYER.fullmatch(name)
    if attention:
        return f"backbone.blocks.{attention[1]}.attn.{attention[2]}"
    if layer:
        part = _LAYER_PARTS.get(layer[2])
        return part and f"backbone.blocks.{layer[1]}.{part}.{layer[3]}"
    for theirs in ("embeddings.patch_embeddings.projection.", "patch_embed.proj."):
        if name.startswith(theirs):
            return f"backbone.patch_embed.projection.{name.removeprefix(theirs)}"
    if name.startswith("layernorm."):
        return f"backbone.norm.{name.removeprefix('layernorm.')}"
    return f"backbone.{name}" if name.startswith(("blocks.", "norm.")) or name == "pos_embed" else None


def _prefix(tensors: Mapping[str, Tensor], patch: re.Pattern[str]) -> str:
    return next(each[1] for each in map(patch.fullmatch, tensors) if each)


def _completed(found: ReadWeights, patch: str) -> ReadWeights:
    """Leave out what belongs to a pre-training or to the pooling of a classifier, and make what is not stored.

    Args:
        found: the weights, with queries, keys and values as one.
        patch: name of the weight of the patch embedding, without the prefix.

    Raises:
        InputError: patches have no time, there is a class token, or a bias of keys that is not 0.
    """
    weight = found.tensors[f"{found.prefix}{patch}"]
    token = next((name for name in found.tensors if name.endswith("cls_token")), None)
    if weight.dim() != 5 or token:
        reason = f"it has {token}" if token else f"{found.prefix}{patch} has {weight.dim()} axes, expected 5"
        raise InputError(f"a vision transformer of pictures, and not VideoMAE: {reason}")
    for name in [each for each in found.tensors if each.endswith("attn.qkv.bias")]:
        query, key, value = found.tensors.pop(name).chunk(3)
        stem = name.removesuffix("qkv.bias")
        found.tensors |= {f"{stem}q_bias": query, f"{stem}v_bias": value}
        _drop_key_bias(found, name, key)
    decoder = [name for name in found.tensors if _DECODER.match(name)]
    if decoder:
        found.drop(decoder)
        found.notes.append(f"{len(decoder)} keys of the pre-training's decoder are left out{some(decoder)}")
    _complete_norm(found, weight)
    _complete_table(found, weight)
    found.notes.append(LICENCE)
    return found


def _drop_key_bias(found: ReadWeights, name: str, bias: Tensor) -> None:
    """Leave out a bias of keys.

    Raises:
        InputError: it is not 0, so that the network would compute something else without it.
    """
    largest = float(bias.abs().max()) if bias.numel() else 0.0
    if largest:
        raise InputError(f"{name}: the keys have a bias of up to {largest:.2g}, expected 0: VideoMAE's keys have none")
    found.tensors.pop(name, None)
    found.dropped.append(name)
    if not any("bias of the keys" in note for note in found.notes):
        found.notes.append("the bias of the keys, which is 0, is left out")


def _complete_norm(found: ReadWeights, patch: Tensor) -> None:
    """Give a classifier, which has `fc_norm` behind its mean over tokens, the final norm that a detector has."""
    pooled = [name for name in found.tensors if name.removeprefix(found.prefix).startswith("fc_norm.")]
    final = "layernorm" if any(".layer." in name for name in found.tensors) else "norm"
    if f"{found.prefix}{final}.weight" not in found.tensors:
        found.make(f"{found.prefix}{final}.weight", torch.ones(len(patch)))
        found.make(f"{found.prefix}{final}.bias", torch.zeros(len(patch)))
        why = "fc_norm, of the classifier's mean over tokens, is left out, and " if pooled else ""
        found.notes.append(f"{why}the final norm, which the file lacks, is untrained: scale 1, shift 0")
    elif pooled:
        found.notes.append("fc_norm, of the classifier's mean over tokens, is left out")
    found.drop(pooled)


def _complete_table(found: ReadWeights, patch: Tensor) -> None:
    """Make the position table where the file has none, and say whether one that it has is the fixed one."""
    name = f"{found.prefix}pos_embed"
    stored = found.tensors.get(name)
    if stored is None:
        # All published ViTs see 16 frames in tubes of two and 224 x 224 pixels in patches of 16.
        places = 16 // patch.shape[2] * (224 // patch.shape[3]) * (224 // patch.shape[4])
        found.make(name, sine_table(places, len(patch))[None])
        found.notes.append(f"the position table of {places} places, which the file lacks, is the fixed one")
        return
    fixed = sine_table(stored.shape[-2], stored.shape[-1])[None] if stored.dim() == 3 else None
    if fixed is None or stored.shape[0] != 1:
        raise InputError(f"{name}: shape is {tuple(stored.shape)}, expected (1, places, channels)")
    gap = float((stored.float() - fixed).abs().max()) if fixed.numel() else 0.0
    is_fixed = gap <= TABLE_ERROR
    words = "is the fixed one" if is_fixed else f"is up to {gap:.2g} off the fixed one, and kept as it is"
    found.notes.append(f"the position table of the file {words}")

"""Translate key names of AlphAction's networks to ours.

This module works on names only; it reads no file.
"""

import re
from collections.abc import Collection

# Files of a backbone alone may have its keys without the prefix.
_STEM = re.compile(r"(?:backbone\.)?(slow|fast)\.(conv|bn)1\.(\w+)")
_BLOCK = re.compile(
    r"(?:backbone\.)?(slow|fast)\.res_nl([1-4])\.res_(\d+)\.(?:btnk\.(conv[123])|(shortcut))\.(conv|bn)\.(\w+)"
)
_LATERAL = re.compile(r"(?:backbone\.)?fast\.Tconv([1-4])\.conv\.(weight|bias)")
_HEAD = re.compile(r"roi_heads\.action\.(feature_extractor|predictor)\.(.+)")
_IA = "ia_structure."
_IA_BLOCK = re.compile(r"([A-Z])_block_([1-9]\d*)\.(\w+)(\.weight|\.bias)?")
_IA_MIXTURE = re.compile(r"dense_params\.(\d+)")
_IA_PARTS = {
    "person_dim_reduce": "reduce_person",
    "person_key_dim_reduce": "reduce_key",
    "object_dim_reduce": "reduce_object",
    "mem_dim_reduce": "reduce_memory",
    "temporal_position_k": "position_k",
    "temporal_position_v": "position_v",
}
HEAD = "roi_heads."
CLASSIFIER = f"{HEAD}action.predictor.cls_score.weight"
KEY_REDUCTION = f"{HEAD}action.feature_extractor.{_IA}person_key_dim_reduce."


def our_key(key: str, *, interacts: bool) -> str | None:
    """Return our name of an AlphAction key; None if there is no counterpart.

    Args:
        key: a key of the state dict.
        interacts: whether the network has an interaction structure; see `has_interaction`.
    """
    stem, block, lateral, head = (pattern.fullmatch(key) for pattern in (_STEM, _BLOCK, _LATERAL, _HEAD))
    if stem:
        return f"backbone.{stem[1]}_path.conv1.{stem[2]}.{stem[3]}"
    if block:
        part = block[4] or "downsample"
        return f"backbone.{block[1]}_path.layer{block[2]}.{block[3]}.{part}.{block[6]}.{block[7]}"
    if lateral:
        after = "conv1" if lateral[1] == "1" else f"layer{int(lateral[1]) - 1}"
        return f"backbone.slow_path.{after}_lateral.conv.{lateral[2]}"
    if head and head[1] == "predictor":
        return re.sub(r"^cls_score\.", "head.classifier.", head[2]) if head[2].startswith("cls_score.") else None
    if head and head[2].startswith(_IA):
        rest = _interaction_key(head[2].removeprefix(_IA))
        return rest and f"head.shared.interaction.{rest}"
    if head and head[2].startswith(("fc1.", "fc2.")):
        return f"head.shared.{'layers.' if interacts else ''}{head[2]}"
    return None


def _interaction_key(key: str) -> str | None:
    block, mixture = _IA_BLOCK.fullmatch(key), _IA_MIXTURE.fullmatch(key)
    if block:
        return f"blocks.{block[1]}{block[2]}.{_IA_PARTS.get(block[3], block[3])}{block[4] or ''}"
    if mixture:
        return f"mixtures.{mixture[1]}.shares"
    part, _, name = key.partition(".")
    return f"{_IA_PARTS[part]}.{name}" if part in _IA_PARTS and name else None


def is_alphaction(keys: Collection[str]) -> bool:
    """Return whether keys are those of an AlphAction network."""
    return any(key.startswith(("backbone.slow.", "slow.", HEAD)) for key in keys)


def has_interaction(keys: Collection[str]) -> bool:
    """Return whether the network has an interaction structure beside its two hidden layers."""
    return any(_IA in key for key in keys)


def block_order(keys: Collection[str]) -> str:
    """Return the letters of the interaction blocks, in the order in which they stand among the keys."""
    found = (_IA_BLOCK.search(key) for key in keys if _IA in key)
    return "".join(name[0] for name in dict.fromkeys(f"{each[1]}{each[2]}" for each in found if each))


def unused_keys(keys: Collection[str]) -> list[str]:
    """Return the keys of layers that upstream's network has and never applies.

    Persons look at the reduced features of persons only in the first block of all, or in a chain of their own; where
    another block comes first, upstream still has the layer that reduces them.
    """
    order = block_order(keys)
    chains = len({key for key in keys if ".shortcut." in key and _IA in key and key.endswith("weight")}) > 1
    return [] if chains or order[:1] == "P" else [key for key in keys if key.startswith(KEY_REDUCTION)]


_OUR_BACKBONE = re.compile(
    r"backbone\.(slow|fast)_path\.(?:conv1|layer(\d)\.(\d+)\.(conv[123]|downsample))\.(conv|bn)\.(\w+)"
)
_OUR_LATERAL = re.compile(r"backbone\.slow_path\.(?:conv1|layer(\d))_lateral\.conv\.(\w+)")
_OUR_BLOCK = re.compile(r"blocks\.([A-Z])(\d+)\.(.+)")
_THEIRS = {ours: theirs for theirs, ours in _IA_PARTS.items()}


def upstream_key(key: str) -> str:
    """Return AlphAction's name of a key of our detectors; the inverse of `our_key`.

    Raises:
        ValueError: there is no counterpart.
    """
    backbone, lateral = _OUR_BACKBONE.fullmatch(key), _OUR_LATERAL.fullmatch(key)
    if backbone and not backbone[2]:
        return f"backbone.{backbone[1]}.{backbone[5]}1.{backbone[6]}"
    if backbone:
        part = "shortcut" if backbone[4] == "downsample" else f"btnk.{backbone[4]}"
        return f"backbone.{backbone[1]}.res_nl{backbone[2]}.res_{backbone[3]}.{part}.{backbone[5]}.{backbone[6]}"
    if lateral:
        return f"backbone.fast.Tconv{int(lateral[1] or 0) + 1}.conv.{lateral[2]}"
    if key.startswith("head.classifier."):
        return f"{HEAD}action.predictor.cls_score.{key.removeprefix('head.classifier.')}"
    rest = key.removeprefix("head.shared.").removeprefix("layers.")
    if key.startswith("head.shared.") and rest.startswith(("fc1.", "fc2.")):
        return f"{HEAD}action.feature_extractor.{rest}"
    if not rest.startswith("interaction."):
        raise ValueError(f"{key}: AlphAction has no such key")
    rest = rest.removeprefix("interaction.")
    block = _OUR_BLOCK.fullmatch(rest)
    if block:
        rest = f"{block[1]}_block_{block[2]}.{_THEIRS.get(block[3], block[3])}"
    elif rest.startswith("mixtures."):
        rest = f"dense_params.{rest.split('.')[1]}"
    else:
        part, _, name = rest.partition(".")
        rest = f"{_THEIRS[part]}.{name}"
    return f"{HEAD}action.feature_extractor.{_IA}{rest}"

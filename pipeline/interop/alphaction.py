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

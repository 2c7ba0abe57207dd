"""Translate key names of torchvision's ResNets, and of the original TRN's on them, to ours.

This module works on names only; it reads no file.
"""

import re
from collections.abc import Collection

_STEM = re.compile(r"(conv|bn)1\.(\w+)")
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.(?:(conv|bn)([123])|downsample\.([01]))\.(\w+)")
_PARTS = {"0": "conv", "1": "bn"}
TRN_BACKBONE, TRN_PROJECT, TRN_RELATIONS = "base_model.", "new_fc.", "consensus."


def backbone_key(key: str) -> str | None:
    """Return our name of a key of torchvision's ResNet; None for its classifier, and for what it does not have."""
    stem, block = _STEM.fullmatch(key), _BLOCK.fullmatch(key)
    if stem:
        return f"backbone.conv1.{stem[1]}.{stem[2]}"
    if not block:
        return None
    part = f"conv{block[4]}.{block[3]}" if block[3] else f"downsample.{_PARTS[block[5]]}"
    return f"backbone.layer{block[1]}.{block[2]}.{part}.{block[6]}"


def mmaction2_key(key: str) -> str:
    """Return MMAction2's name of a key of the original TRN (TRN-pytorch) on torchvision's ResNet.

    What has no counterpart keeps its name.
    """
    if key.startswith(TRN_BACKBONE):
        return backbone_key(key.removeprefix(TRN_BACKBONE)) or key
    if key.startswith(TRN_PROJECT):
        return f"cls_head.fc_cls.{key.removeprefix(TRN_PROJECT)}"
    return f"cls_head.{key}" if key.startswith(TRN_RELATIONS) else key


def is_torchvision(keys: Collection[str]) -> bool:
    """Return whether keys are those of torchvision's ResNet."""
    return {"conv1.weight", "layer1.0.conv1.weight"} <= set(keys)


def is_original_trn(keys: Collection[str]) -> bool:
    """Return whether keys are those of the original TRN, on any backbone."""
    return f"{TRN_PROJECT}weight" in keys and any(key.startswith(TRN_BACKBONE) for key in keys)

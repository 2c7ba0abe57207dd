"""Translate key names of ACAR-Net's networks to ours.

This module works on names only; it reads no file.
"""

import re
from collections.abc import Collection
from typing import Any

# Backbone and head are wrapped in turn (`module.`), and files of a backbone alone have no prefix.
_BACKBONE = r"(?:backbone\.)?(?:module\.)?"
_STEM = re.compile(_BACKBONE + r"(slow|fast)_(conv|bn)1\.(\w+)")
_BLOCK = re.compile(_BACKBONE + r"(slow|fast)_res([1-4])\.(\d+)\.(conv|bn)([123])\.(\w+)")
_SHORTCUT = re.compile(_BACKBONE + r"(slow|fast)_res([1-4])\.(\d+)\.downsample(?:\.0|(_bn))\.(\w+)")
# Inside a sequence (.0, .1) where a norm follows the convolution.
_LATERAL = re.compile(_BACKBONE + r"Tconv([1-4])(?:\.([01]))?\.(\w+)")
_HEAD = re.compile(r"head\.(?:module\.)?(.+)")
_RELATION = re.compile(r"hr2o\.(\d+)\.(conv_q|conv_k|conv_v|conv|norm)\.(\w+)")
_RELATION_PARTS = {"conv_q": "query", "conv_k": "key", "conv_v": "value", "conv": "out", "norm": "norm"}
_HEAD_PARTS = {
    "conv_reduce.weight": "shared.reduce.weight",
    "conv1.weight": "shared.conv1.weight",
    "conv2.weight": "shared.conv2.weight",
    "fc1.weight": "shared.fc1.weight",
    "fc2.weight": "classifier.weight",
    "fc2.bias": "classifier.bias",
}
HEAD = "head."


def our_key(key: str) -> str | None:
    """Return our name of a key of ACAR-Net; None if there is no counterpart."""
    stem, block, shortcut, lateral = (pattern.fullmatch(key) for pattern in (_STEM, _BLOCK, _SHORTCUT, _LATERAL))
    if stem:
        return f"backbone.{stem[1]}_path.conv1.{stem[2]}.{stem[3]}"
    if block:
        return f"backbone.{block[1]}_path.layer{block[2]}.{block[3]}.conv{block[5]}.{block[4]}.{block[6]}"
    if shortcut:
        part = "bn" if shortcut[4] else "conv"
        return f"backbone.{shortcut[1]}_path.layer{shortcut[2]}.{shortcut[3]}.downsample.{part}.{shortcut[5]}"
    if lateral:
        after = "conv1" if lateral[1] == "1" else f"layer{int(lateral[1]) - 1}"
        return f"backbone.slow_path.{after}_lateral.{'bn' if lateral[2] == '1' else 'conv'}.{lateral[3]}"
    head = _HEAD.fullmatch(key)
    return _head_key(head[1]) if head else None


def _head_key(key: str) -> str | None:
    relation = _RELATION.fullmatch(key)
    if relation:
        return f"head.shared.layers.{relation[1]}.{_RELATION_PARTS[relation[2]]}.{relation[3]}"
    part = _HEAD_PARTS.get(key)
    return part and f"head.{part}"


def is_acar(keys: Collection[str]) -> bool:
    """Return whether keys are those of a network of ACAR-Net."""
    return any(_STEM.fullmatch(key) for key in keys)


def told_annotations(value: Any) -> str:
    """Return words on a value that is ACAR-Net's pickle of annotations; empty if it is something else."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        return ""
    keyframes, classes = value
    if not (isinstance(keyframes, list) and isinstance(classes, dict)):
        return ""
    if not all(isinstance(each, dict) and {"video", "time", "labels"} <= each.keys() for each in keyframes):
        return ""
    return (
        f"annotations of ACAR-Net ({len(keyframes)} keyframes, {len(classes)} classes), which are made of AVA's own "
        "files, as conf/dataset/ava22.yaml names them"
    )

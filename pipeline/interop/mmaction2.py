"""Translate key names between MMAction2's detectors and recognizers (0.x and 1.x) and ours, in both directions.

This module works on names and shapes only; it reads no file.
"""

import re

# Upstream's name and ours, part by part: {} is what both have in common.
_PARTS = [
    ("backbone.{}", "backbone.{}"),
    ("roi_head.bbox_head.fc_cls.{}", "head.classifier.{}"),
    ("roi_head.shared_head.fbo.st_feat_conv.{}", "head.shared.project_roi.{}"),
    ("roi_head.shared_head.fbo.lt_feat_conv.{}", "head.shared.project_bank.{}"),
    ("roi_head.shared_head.conv1.{}", "head.shared.conv1.{}"),
    ("roi_head.shared_head.conv2.{}", "head.shared.conv2.{}"),
    ("roi_head.shared_head.convs.{}", "head.shared.convs.{}"),
]
_LAYER = re.compile(r"roi_head\.shared_head\.fbo\.non_local_layer_([1-9]\d*)\.(.+)\.(weight|bias)")
_OUR_LAYER = re.compile(r"head\.shared\.layers\.(\d+)\.(\w+)\.(weight|bias)")
# The two layers of the MLPs of its vision transformers.
_MLP = re.compile(r"(backbone\.blocks\.\d+\.mlp)\.layers\.(0\.0|1)\.(weight|bias)")
_OUR_MLP = re.compile(r"(backbone\.blocks\.\d+\.mlp)\.(fc1|fc2)\.(weight|bias)")
_MLP_PARTS = {"0.0": "fc1", "1": "fc2"}
_LAYER_PARTS = {
    "st_feat_conv.conv": "theta",
    "lt_feat_conv.conv": "phi",
    "global_conv.conv": "g",
    "ln": "norm",
    "out_conv.conv": "out",
}


def our_key(key: str) -> str | None:
    """Return our name of an upstream key; None if there is no counterpart."""
    layer = _LAYER.fullmatch(key)
    if layer:
        part = _LAYER_PARTS.get(layer[2])
        return part and f"head.shared.layers.{int(layer[1]) - 1}.{part}.{layer[3]}"
    mlp = _MLP.fullmatch(key)
    if mlp:
        return f"{mlp[1]}.{_MLP_PARTS[mlp[2]]}.{mlp[3]}"
    return _renamed(key, [(theirs, ours) for theirs, ours in _PARTS])


def upstream_key(key: str) -> str | None:
    """Return upstream's name of one of our keys; None if there is no counterpart (a head that only we have)."""
    layer = _OUR_LAYER.fullmatch(key)
    if layer:
        part = next((theirs for theirs, ours in _LAYER_PARTS.items() if ours == layer[2]), None)
        return part and f"roi_head.shared_head.fbo.non_local_layer_{int(layer[1]) + 1}.{part}.{layer[3]}"
    mlp = _OUR_MLP.fullmatch(key)
    if mlp:
        return f"{mlp[1]}.layers.{'0.0' if mlp[2] == 'fc1' else '1'}.{mlp[3]}"
    return _renamed(key, [(ours, theirs) for theirs, ours in _PARTS])


def upstream_shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the upstream tensor whose values have `shape` in ours."""
    if ".shared_head.fbo." not in key:
        return shape
    if ".ln." in key:
        return (*shape, 1, 1, 1)  # LayerNorm over [d, 1, 1, 1]
    return (*shape, 1, 1, 1) if key.endswith(".weight") else shape  # 1x1x1 convolutions


def _renamed(key: str, parts: list[tuple[str, str]]) -> str | None:
    for old, new in parts:
        prefix = old.removesuffix("{}")
        if key.startswith(prefix) and len(key) > len(prefix):
            return new.format(key.removeprefix(prefix))
    return None

"""Translate key names between MMAction2's recognizers of single frames (TSN, TRN) and ours, in both directions.

This module works on names and shapes only; it reads no file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.base.errors import InputError

HEAD = "cls_head."
_MULTI = re.compile(r"cls_head\.consensus\.fc_fusion_scales\.(\d+)\.([13])\.(weight|bias)")
_SINGLE = re.compile(r"cls_head\.consensus\.classifier\.([13])\.(weight|bias)")
_OURS = re.compile(r"head\.scales\.(\d+)\.(hidden|classifier)\.(weight|bias)")
_LAYERS = {"1": "hidden", "3": "classifier"}
_PLACES = {layer: place for place, layer in _LAYERS.items()}


@dataclass(frozen=True, kw_only=True)
class RecognizerShape:
    """What the keys and shapes of a recognizer show."""

    head: Literal["tsn", "trn", "trn_multiscale"]
    segments: int | None
    "None for tsn, whose weights do not show it."
    width: int
    "Channels of the stem."
    classes: int
    channels: int | None = None
    "Of a segment's vector; None for tsn."
    hidden: int | None = None
    "Of a relation's hidden layer; None for tsn."


def recognizer_shape(shapes: Mapping[str, Sequence[int]]) -> RecognizerShape:
    """Return what upstream's keys, with the prefixes `backbone.` and `cls_head.`, show of a recognizer.

    Raises:
        InputError: they are of no TSN or TRN, or their shapes do not fit each other.
    """
    stem, project = shapes.get("backbone.conv1.conv.weight"), shapes.get(f"{HEAD}fc_cls.weight")
    if stem is None or project is None or len(stem) != 4 or len(project) != 2:
        raise InputError(
            "no recognizer of single frames: expected tensors of a first convolution (conv1.conv.weight) with four "
            "sides and of a projection (cls_head.fc_cls.weight) with two"
        )
    scales = sorted({int(each[1]) for each in map(_MULTI.fullmatch, shapes) if each})
    if not scales and f"{HEAD}consensus.classifier.1.weight" not in shapes:
        return RecognizerShape(head="tsn", segments=None, width=stem[0], classes=project[0])
    if scales != list(range(len(scales))):
        raise InputError(
            f"cls_head.consensus.fc_fusion_scales has the numbers {scales}, expected 0, 1, ... without gaps"
        )
    module = "fc_fusion_scales.0" if scales else "classifier"
    first, last = (shapes.get(f"{HEAD}consensus.{module}.{place}.weight") for place in _LAYERS)
    channels = project[0]
    if first is None or last is None or len(first) != 2 or len(last) != 2 or first[1] % channels:
        raise InputError(
            f"cls_head.consensus.{module} has layers of shapes {first} and {last}, expected a multiple of the "
            f"{channels} channels of cls_head.fc_cls"
        )
    segments = first[1] // channels
    if scales and segments != len(scales) + 1:
        raise InputError(
            f"cls_head.consensus has {len(scales)} scales, expected {segments - 1}, as the first of them reads "
            f"{segments} segments"
        )
    return RecognizerShape(
        head="trn_multiscale" if scales else "trn",
        segments=segments,
        width=stem[0],
        classes=last[0],
        channels=channels,
        hidden=first[0],
    )


def our_key(key: str, shape: RecognizerShape) -> str | None:
    """Return our name of an upstream key; None if there is no counterpart."""
    multi, single = _MULTI.fullmatch(key), _SINGLE.fullmatch(key)
    if multi and shape.segments is not None:
        return f"head.scales.{shape.segments - int(multi[1])}.{_LAYERS[multi[2]]}.{multi[3]}"
    if single:
        return f"head.scales.{shape.segments}.{_LAYERS[single[1]]}.{single[2]}"
    if key in (f"{HEAD}fc_cls.weight", f"{HEAD}fc_cls.bias"):
        layer = "classifier" if shape.head == "tsn" else "project"
        return f"head.{layer}.{key.removeprefix(f'{HEAD}fc_cls.')}"
    return key if key.startswith("backbone.") else None


def upstream_key(key: str, *, head: str, segments: int) -> str | None:
    """Return upstream's name of one of our keys; None if there is no counterpart.

    Args:
        key: a key of our state dict.
        head: tsn, trn or trn_multiscale.
        segments: segments of the recognizer.
    """
    ours = _OURS.fullmatch(key)
    if ours:
        module = "classifier" if head == "trn" else f"fc_fusion_scales.{segments - int(ours[1])}"
        return f"{HEAD}consensus.{module}.{_PLACES[ours[2]]}.{ours[3]}"
    for layer in ("project", "classifier"):
        if key in (f"head.{layer}.weight", f"head.{layer}.bias"):
            return f"{HEAD}fc_cls.{key.removeprefix(f'head.{layer}.')}"
    return key if key.startswith("backbone.") else None

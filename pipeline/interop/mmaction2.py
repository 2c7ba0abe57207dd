"""Detectors of MMAction2 (0.x and 1.x, and MMDetection's `FastRCNN` around them) in our state dicts.

Works on state dicts that are already tensors; who reads a foreign file is no concern of this module.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from torch import Tensor

from pipeline.errors import InputError

# Upstream's prefix or name, and ours. The first that matches the whole key wins.
_RULES = [
    (r"backbone\.(.+)", r"backbone.\1"),
    (r"roi_head\.bbox_head\.fc_cls\.(weight|bias)", r"head.classifier.\1"),
    (r"roi_head\.shared_head\.fbo\.st_feat_conv\.(weight|bias)", r"head.shared.project_roi.\1"),
    (r"roi_head\.shared_head\.fbo\.lt_feat_conv\.(weight|bias)", r"head.shared.project_bank.\1"),
]
_LAYER = re.compile(r"roi_head\.shared_head\.fbo\.non_local_layer_([1-9]\d*)\.(.+)\.(weight|bias)")
_LAYER_PARTS = {
    "st_feat_conv.conv": "theta",
    "lt_feat_conv.conv": "phi",
    "global_conv.conv": "g",
    "ln": "norm",
    "out_conv.conv": "out",
}


@dataclass(frozen=True)
class ConversionReport:
    """What became of a foreign state dict; keys of `missing` are ours, the others upstream's."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    "Keys of our model that the source does not give."
    unexpected: tuple[str, ...]
    "Keys of the source that our model has no place for."
    reshaped: tuple[str, ...]
    "Keys among `loaded` whose values took another shape, with both shapes."

    def as_dict(self) -> dict[str, list[str]]:
        """For JSON."""
        return {name: list(keys) for name, keys in asdict(self).items()}


def our_key(key: str) -> str | None:
    """Our name of an upstream key; None where there is no counterpart."""
    layer = _LAYER.fullmatch(key)
    if layer:
        part = _LAYER_PARTS.get(layer[2])
        return part and f"head.shared.layers.{int(layer[1]) - 1}.{part}.{layer[3]}"
    for pattern, ours in _RULES:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(ours)
    return None


def convert_detector(
    source: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    background: Literal["drop", "keep"] = "drop",
    partial: bool = False,
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Bring a detector's state dict into our keys and shapes.

    1x1x1 convolutions become linear layers, and the LayerNorm of shape [d, 1, 1, 1] one of [d].

    Args:
        source: upstream's state dict.
        expected: `state_dict()` of a `Detector`; only keys and shapes are read.
        background: drop the classifier's row 0, which upstream trains for no class, or keep it (as the model
            must then have one column more).
        partial: report missing and unexpected keys instead of refusing them.

    Returns:
        A state dict with keys of `expected`, and the report.

    Raises:
        InputError: a shape does not fit; or keys are missing or unexpected and `partial` is false.
    """
    state: dict[str, Tensor] = {}
    unexpected, reshaped = [], []
    for key, value in source.items():
        ours = our_key(key)
        if ours is None or ours not in expected:
            unexpected.append(key)
            continue
        found, wanted = tuple(value.shape), tuple(expected[ours].shape)
        dropped = ""
        if ours.startswith("head.classifier.") and background == "drop":
            value, dropped = value[1:], " without its background row"
        if _without_trailing_ones(value.shape) != _without_trailing_ones(wanted):
            raise InputError(f"{key}: shape is {found}{dropped}, expected {wanted} for {ours}")
        state[ours] = value.reshape(wanted)
        if found != wanted:
            reshaped.append(f"{key}: {found}{dropped} to {wanted}")
    missing = tuple(key for key in expected if key not in state)
    if (missing or unexpected) and not partial:
        raise InputError(
            f"state dict does not fit the model: {len(missing)} keys missing{_some(missing)}, "
            f"{len(unexpected)} unexpected{_some(unexpected)}"
        )
    loaded = tuple(key for key in source if key not in unexpected)
    return state, ConversionReport(loaded, missing, tuple(unexpected), tuple(reshaped))


def _without_trailing_ones(shape: Sequence[int]) -> tuple[int, ...]:
    kept = list(shape)
    while kept and kept[-1] == 1:
        kept.pop()
    return tuple(kept)


def _some(keys: tuple[str, ...] | list[str]) -> str:
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""

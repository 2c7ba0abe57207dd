"""A frozen network that was made elsewhere, as a backbone: its tokens as a map (docs/frozen-features.md).

The network is no part of the detector's parameters: it is not trained and in no checkpoint. What a checkpoint holds of
it is a digest, so that another network makes another checkpoint.

Shape suffixes of names: B clips, C channels, T frames, H and W pixels, N tokens; t, h and w cells of a map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError

ModelType = Literal["videomae", "vjepa2", "timesformer"]


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """The clips that a network takes, and how its tokens lie."""

    model_type: ModelType
    "As the network's config.json calls it."
    channels: int
    "Of a token."
    patch: int
    "Pixels of a patch's side."
    tubelet: int
    "Frames of a token."
    frames: int
    "Of the clips that the network was made for."
    size: tuple[int, int]
    "Height and width in pixels of these clips."

    def fault(self, frames: int, height: int, width: int) -> str:
        """Return what of a clip's size the network cannot take as it was meant; empty if it can."""
        wrong = [self._wrong_frames(frames), self._wrong_size(height, width)]
        return "; ".join(each for each in wrong if each)

    def _wrong_frames(self, frames: int) -> str:
        if frames % self.tubelet:
            return f"{frames} frames, expected a multiple of {self.tubelet}"
        # Rotary positions go on for ever. A table has one row for each time, and TimeSformer, which resizes that, would
        # take frames for places in its attention.
        if self.model_type != "vjepa2" and frames != self.frames:
            return f"{frames} frames, expected {self.frames}"
        return ""

    def _wrong_size(self, height: int, width: int) -> str:
        if (height, width) == self.size:
            return ""
        found = f"clips of {width}x{height} pixels, expected {self.size[1]}x{self.size[0]}"
        if self.model_type != "timesformer":
            return found
        # TimeSformer resizes its places to those of the clip, unless they are as many in another shape; and its
        # attention divides their number by those of a row that it was made for.
        made, shown = ([side // self.patch for side in sides] for sides in (self.size, (height, width)))
        places = shown[0] * shown[1]
        is_alike = places == made[0] * made[1] and shown != made
        if not is_alike and places and places % made[1] == 0 and shown[1] > 1:
            return ""
        return (
            f"{found}, or another size whose number of patches is a multiple of {made[1]} and not {made[0] * made[1]}"
        )


class TokenMap(nn.Module):
    """The backbone: `forward` gives one map [B, C, T', h, w] of float32, h and w cells of `stride` pixels."""

    digest: Tensor

    def __init__(self, network: nn.Module, layout: TokenLayout, digest: bytes) -> None:
        """Wrap a network.

        Args:
            network: pixels [B, T, 3, H, W] -> something with `last_hidden_state` [B, N, C].
            layout: of this network.
            digest: 32 bytes that differ for another network.
        """
        super().__init__()
        # In a list, where PyTorch does not find it: no parameter of the detector, nor of its checkpoint.
        self._outside = [network.eval().requires_grad_(False)]
        self.layout = layout
        self.stride = layout.patch
        self.out_channels = layout.channels
        self.register_buffer("digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8).clone())

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Move the network with the detector, from device to device."""
        self._outside[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        applied: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return applied

    def forward(self, clips_B3THW: Tensor) -> tuple[Tensor]:
        """Compute the map of normalised RGB clips [B, 3, T, H, W].

        Raises:
            InputError: the network cannot take clips of this size as it was meant.
        """
        frames, height, width = clips_B3THW.shape[2:]
        if fault := self.layout.fault(frames, height, width):
            raise InputError(f"backbone transformers ({self.layout.model_type}): {fault}")
        with torch.no_grad():
            tokens_BNC = self._outside[0](clips_B3THW.transpose(1, 2)).last_hidden_state
        return (tokens_as_map(tokens_BNC, self.layout, frames, height, width),)


def tokens_as_map(tokens_BNC: Tensor, layout: TokenLayout, frames: int, height: int, width: int) -> Tensor:
    """Lay tokens of clips of this size out as a map [B, C, t, h, w].

    VideoMAE's and V-JEPA 2's tokens go by time, row and column. TimeSformer's begin with the class token, which is left
    out, and go by row, column and time.
    """
    cells = (frames // layout.tubelet, height // layout.patch, width // layout.patch)
    if layout.model_type == "timesformer":
        t, h, w = cells
        return torch.unflatten(tokens_BNC[:, 1:], 1, (h, w, t)).permute(0, 4, 3, 1, 2)
    return torch.unflatten(tokens_BNC, 1, cells).permute(0, 4, 1, 2, 3)

"""The plain vision transformer of VideoMAE on clips (Tong et al. 2022; MMAction2 `VisionTransformer`).

Shape suffixes of names: B clips, C channels, T frames, H and W pixels, t, h and w tokens along time, height and width,
N tokens of a clip.

The state dict is MMAction2's, but for the names of the MLP's layers: `fc1` is `layers.0.0` there, `fc2` `layers.1`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.transformer import Mlp, attend, drop_path, even_rates, init_linear, run_block

EPS = 1e-6
"Of all norms. The configuration of VideoMAE in transformers says 1e-12; the weights were trained with this."
HEAD_WIDTH = 64
KEPT_GRIDS = 8


class SelfAttention(nn.Module):
    """Self-attention whose queries and values have a bias, and whose keys have none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        y_BNC: Tensor = self.proj(attend(F.linear(x_BNC, self.qkv.weight, bias), self.heads))
        return y_BNC


class TransformerBlock(nn.Module):
    """Attention and MLP, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.drop_path = 0.0

    def forward(self, x_BNC: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        x_BNC = x_BNC + drop_path(self.attn(self.norm1(x_BNC)), self.drop_path, training=self.training)
        return x_BNC + drop_path(self.mlp(self.norm2(x_BNC)), self.drop_path, training=self.training)


class TubeletEmbedding(nn.Module):
    """A convolution that makes a token of each patch; what is left at the right and at the bottom is not seen."""

    def __init__(self, width: int, patch: tuple[int, int, int]) -> None:
        super().__init__()
        self.projection = nn.Conv3d(3, width, patch, stride=patch)

    def forward(self, clip_B3THW: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, N, C], in the order time, rows, columns."""
        tokens_BNC: Tensor = self.projection(clip_B3THW).flatten(2).transpose(1, 2)
        return tokens_BNC


class VideoMae(nn.Module):
    """A vision transformer on tubes of two frames, every token looking at all others of its clip.

    Attributes:
        out_channels: channels of the feature map.
        stride: pixels per cell of the feature map, and so the side of a patch.
        layers: see `Layered`.
        recompute: see `Layered`.
    """

    out_channels: int
    stride: int
    pos_embed: Tensor

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        frames: int = 16,
        patch: tuple[int, int, int] = (2, 16, 16),
        grid: tuple[int, int] = (14, 14),
        mlp_ratio: int = 4,
    ) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            width: channels of a token.
            depth: number of blocks.
            heads: heads of each attention; divide the width.
            frames: frames of a clip; no other number is accepted.
            patch: frames, rows and columns of pixels that make a token; as many rows as columns.
            grid: rows and columns of tokens for which the position table is made (224 / 16).
            mlp_ratio: hidden channels of the MLPs over the width.

        Raises:
            InputError: the width is odd, or no multiple of the heads.
        """
        super().__init__()
        if width % heads or width % 2:
            raise InputError(f"a transformer's width is {width}, expected an even multiple of its {heads} heads")
        self.frames, self.patch, self.grid, self.heads = frames, patch, grid, heads
        self.patch_embed = TubeletEmbedding(width, patch)
        self.register_buffer("pos_embed", sine_table(frames // patch[0] * math.prod(grid), width)[None])
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPS)
        init_linear(self)
        self.out_channels, self.stride = width, patch[1]
        self.layers, self.recompute = depth, False
        self._tables: dict[tuple[int, int], tuple[Tensor, int, Tensor]] = {}

    def forward(self, clip_B3THW: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature map of a batch of clips.

        Args:
            clip_B3THW: normalised RGB clips, float [B, 3, T, H, W]. H and W are rounded down to multiples of the patch:
                the pixels that are left at the right and at the bottom are not seen.

        Returns:
            One map behind the final norm, [B, out_channels, T / 2, H // stride, W // stride].

        Raises:
            InputError: T is not the number of frames that the position table is made for, or a side is shorter than a
                patch.
        """
        self._check(clip_B3THW)
        size = tuple(side // patch for side, patch in zip(clip_B3THW.shape[2:], self.patch, strict=True))
        x_BNC = self.patch_embed(clip_B3THW) + self.positions(*size[1:])
        for block in self.blocks:
            x_BNC = run_block(block, x_BNC, recompute=self.recompute and self.training)
        return (self.norm(x_BNC).transpose(1, 2).reshape(clip_B3THW.shape[0], -1, *size),)

    def _check(self, clip_B3THW: Tensor) -> None:
        _, _, frames, height, width = clip_B3THW.shape
        if frames != self.frames:
            raise InputError(
                f"a clip has {frames} frames, this transformer needs {self.frames}: its position table is of "
                f"{self.frames // self.patch[0]} slices of {self.patch[0]} frames, and time is not resized"
            )
        if not torch.compiler.is_compiling() and min(height, width) < self.stride:
            raise InputError(f"a clip is {width}x{height} pixels, expected at least {self.stride} each way")

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return the position table of a grid, [1, N, C], tokens in the order time, rows, columns.

        Another grid than the table's own is resized slice by slice, bicubically and without aligned corners, as in
        MMAction2. The last grids are kept until the table changes.
        """
        if torch.compiler.is_compiling():
            return self._resized(rows, columns)  # sizes stay open; the own grid resizes to itself, value for value
        if (rows, columns) == self.grid:
            return self.pos_embed
        source, version, table = self._tables.get((rows, columns), (None, -1, self.pos_embed))
        if source is not self.pos_embed or version != self.pos_embed._version:
            with torch.inference_mode(False), torch.no_grad():
                table = self._resized(rows, columns)
            if len(self._tables) >= KEPT_GRIDS:
                self._tables.clear()
            self._tables[rows, columns] = (self.pos_embed, self.pos_embed._version, table)
        return table

    def _resized(self, rows: int, columns: int) -> Tensor:
        slices_tChw = self.pos_embed.reshape(-1, *self.grid, self.out_channels).permute(0, 3, 1, 2)
        resized_tChw = F.interpolate(slices_tChw, (rows, columns), mode="bicubic", align_corners=False)
        return resized_tChw.permute(0, 2, 3, 1).flatten(0, 2)[None]

    def layer_of(self, name: str) -> int:
        """Return the depth of a parameter; see `Layered`."""
        place = name.split(".")
        if place[0] == "patch_embed":
            return 0
        return int(place[1]) + 1 if place[0] == "blocks" else self.layers + 1

    def set_drop_path(self, rate: float) -> None:
        """Set the rates of the blocks; see `Layered`."""
        for block, each in zip(self.blocks, even_rates(rate, self.layers), strict=True):
            assert isinstance(block, TransformerBlock)
            block.drop_path = each


def sine_table(places: int, width: int) -> Tensor:
    """Return VideoMAE's position table, float32 [places, width]: sines and cosines of the flattened index.

    Channels 2i and 2i + 1 are sine and cosine of place / 10000^(2i / width), where a place counts tokens in the order
    time, rows, columns: neighbours in a column are a row apart. It is not trained.
    """
    rates = torch.pow(10000.0, -torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(places, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float()


def _heads(width: int) -> int:
    return max(width // HEAD_WIDTH, 1)


def videomae_b(width: int = 768) -> VideoMae:
    """VideoMAE ViT-B/16 on 16 frames: 768 channels, stride 16 (MMAction2 `vit-base-p16_..._ava-kinetics-rgb`)."""
    return VideoMae(width=width, depth=12, heads=_heads(width))


def videomae_l(width: int = 1024) -> VideoMae:
    """VideoMAE ViT-L/16 on 16 frames: 1024 channels, stride 16 (MMAction2 `vit-large-p16_..._ava-kinetics-rgb`)."""
    return VideoMae(width=width, depth=24, heads=_heads(width))


def videomae_tiny(width: int = 96) -> VideoMae:
    """Four blocks on patches of 4 x 8 x 8, the whole clip deep: 96 channels, stride 8, 0.5 M parameters, 4 heads.

    For the playground, whose frames of 96 x 128 pixels give the 12 x 16 patches of the position table.
    """
    return VideoMae(width=width, depth=4, heads=max(width // 24, 1), frames=4, patch=(4, 8, 8), grid=(12, 16))

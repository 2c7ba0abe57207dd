"""Hiera (Ryali et al. 2023): a vision transformer in four stages of falling resolution, whose maps a detector reads.

Module names equal those of facebookresearch/hiera v0.1.4, so its keys load as they are.

Tokens are stored unit by unit. A mask unit is a square of 8 x 8 tokens of one time slice in the first stage, and of
4 x 4, 2 x 2 and 1 in the others, so that neither attention within a unit nor pooling has to move a token. Only the maps
are put in spatial order.

Shape suffixes of names: B clips, T time slices of two frames each, H and W pixels, h and w cells of a map, L tokens of
a clip, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.backbones.hiera_tokens import (
    FRAMES,
    PATCH,
    UNIT,
    from_units,
    join_maps,
    pad_clip,
    pool_units,
    resize_positions,
    to_units,
)
from pipeline.models.backbones.transformer import Mlp, attend_to, drop_path, even_rates, init_linear, run_block

EPS = 1e-6
INIT_STD = INIT_BIAS = 0.02
MLP_RATIO = 4
BASE, LARGE = (2, 3, 16, 3), (2, 6, 36, 4)
"Blocks of the stages."


@dataclass(frozen=True)
class HieraShape:
    """The sizes of a network; width and heads double from stage to stage."""

    blocks: tuple[int, int, int, int]
    width: int
    "Channels of the first stage."
    heads: int
    "Of the first stage."
    grid: tuple[int, int] = (56, 56)
    "Rows and columns of the table of positions: those of clips of 224 x 224 pixels."
    slices: int = 8
    "Time slices of the table of positions: those of clips of 16 frames."


@dataclass(frozen=True)
class BlockShape:
    """The sizes of a block."""

    inputs: int
    outputs: int
    heads: int
    side: int
    "Tokens per side of the mask units of its input."
    pools: bool
    "Whether it halves this side: the first block of the stages 2 to 4."
    within_units: bool
    "Attention within a mask unit, or else among all tokens of a clip."


def block_shapes(shape: HieraShape) -> list[BlockShape]:
    """Describe the blocks of all four stages.

    Attention is within mask units in stages 1 and 2 and global in 3 and 4, but the first block of a stage has the
    attention of the stage before.
    """
    found = []
    for stage, count in enumerate(shape.blocks):
        outputs, heads = shape.width << stage, shape.heads << stage
        for number in range(count):
            first = stage > 0 and number == 0
            before = stage - first
            found.append(
                BlockShape(shape.width << before, outputs, heads, UNIT >> before, first, within_units=before < 2)
            )
    return found


class PatchEmbedding(nn.Module):
    """Tokens of overlapping patches, 3 frames of 7 x 7 pixels, one for each 2 frames of 4 x 4 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, (3, 7, 7), stride=(FRAMES, PATCH, PATCH), padding=(1, 3, 3))

    def forward(self, clip_B3THW: Tensor) -> Tensor:
        """[B, 3, 2 T, H, W] -> [B, T, H / 4, W / 4, C]."""
        return self.proj(clip_B3THW).permute(0, 2, 3, 4, 1)  # type: ignore[no-any-return]


class HieraAttention(nn.Module):
    """Attention among the tokens of a mask unit, or among all tokens of a clip; queries may be pooled before."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.inputs, 3 * shape.outputs)
        self.proj = nn.Linear(shape.outputs, shape.outputs)

    def forward(self, x_BLC: Tensor) -> Tensor:
        """[B, L, inputs] -> [B, L, outputs], or L / 4 tokens where queries are pooled."""
        clips, tokens, _ = x_BLC.shape
        query, key, value = self.qkv(x_BLC).chunk(3, dim=2)
        if self.shape.pools:
            query = pool_units(query, self.shape.side)
        groups = clips * tokens // self.shape.side**2 if self.shape.within_units else clips
        parts = (each.reshape(groups, -1, self.shape.outputs) for each in (query, key, value))
        seen = attend_to(*parts, heads=self.shape.heads)
        return self.proj(seen.reshape(clips, -1, self.shape.outputs))  # type: ignore[no-any-return]


class HieraBlock(nn.Module):
    """Attention and an MLP, each after a norm and beside a shortcut.

    Where a block pools, it widens its tokens too, and the shortcut is the pooled projection of the normalised input.

    Attributes:
        drop_path: see `drop_path`.
    """

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.side = shape.side
        self.drop_path = 0.0
        self.norm1 = nn.LayerNorm(shape.inputs, eps=EPS)
        self.attn = HieraAttention(shape)
        self.norm2 = nn.LayerNorm(shape.outputs, eps=EPS)
        self.mlp = Mlp(shape.outputs, MLP_RATIO * shape.outputs)
        self.proj = nn.Linear(shape.inputs, shape.outputs) if shape.pools else None

    def forward(self, x_BLC: Tensor) -> Tensor:
        """See `HieraAttention`."""
        normed_BLC = self.norm1(x_BLC)
        if self.proj is not None:
            x_BLC = pool_units(self.proj(normed_BLC), self.side)
        x_BLC = x_BLC + self._kept(self.attn(normed_BLC))
        return x_BLC + self._kept(self.mlp(self.norm2(x_BLC)))

    def _kept(self, branch_BLC: Tensor) -> Tensor:
        return drop_path(branch_BLC, self.drop_path, training=self.training)


class Hiera(nn.Module):
    """Patch embedding, positions and the blocks of four stages.

    Attributes:
        out_channels: channels of all maps together.
        stride: pixels of the clip per cell of the maps.
        layers: number of blocks.
        recompute: see `run_block`.
        undecayed: names of parameters without weight decay.
    """

    out_channels: int
    stride: int
    layers: int
    recompute: bool = False
    undecayed = frozenset({"pos_embed_spatial", "pos_embed_temporal"})

    def __init__(self, shape: HieraShape, *, maps: Sequence[int] = (3, 4)) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            shape: its sizes.
            maps: the stages, from 1 to 4 and in this order, whose maps are given. Stages behind the last of them are
                not built. The cells are those of the first of them, of 4, 8, 16 or 32 pixels.
        """
        super().__init__()
        self.shape, self.maps = shape, tuple(maps)
        self.stride = PATCH << (self.maps[0] - 1)
        self.out_channels = sum(shape.width << (stage - 1) for stage in self.maps)
        self.ends = list(accumulate(shape.blocks[: self.maps[-1]]))
        self.layers = self.ends[-1]
        self.patch_embed = PatchEmbedding(shape.width)
        rows, columns = shape.grid
        self.pos_embed_spatial = _table(rows * columns, shape.width)
        self.pos_embed_temporal = _table(shape.slices, shape.width)
        self.blocks = nn.ModuleList(HieraBlock(each) for each in block_shapes(shape)[: self.layers])
        self.norm = nn.LayerNorm(8 * shape.width, eps=EPS) if self.maps[-1] == 4 else None
        init_linear(self, bias=INIT_BIAS)

    def forward(self, clip_B3THW: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of a batch of clips.

        The map of the last stage has the network's final norm. The other stages have none of their own: their maps are
        normalised over the channels, without weights, as tokens grow from block to block.

        Args:
            clip_B3THW: normalised RGB, [B, 3, 2 T, H, W]. Sizes that are no multiples of 32 are padded with zeros on
                the right and at the bottom; what is padded takes part in attention, and is cut off the maps.

        Returns:
            A map for each stage of `maps`, [B, channels of the stage, T, ceil(H / stride), ceil(W / stride)]; those
            of later stages are enlarged bilinearly.

        Raises:
            InputError: the number of frames is odd.
        """
        return self.join(self.stages(clip_B3THW, self.maps), (clip_B3THW.shape[3], clip_B3THW.shape[4]))

    def join(self, stages_BThwC: Mapping[int, Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make the maps of what stages give; `size` is the height and width of the clips. See `forward`."""
        maps = [self._normed(stages_BThwC[stage], stage).permute(0, 4, 1, 2, 3) for stage in self.maps]
        return join_maps(maps, (-(-size[0] // self.stride), -(-size[1] // self.stride)))

    def stages(self, clip_B3THW: Tensor, wanted: Sequence[int]) -> dict[int, Tensor]:
        """Compute what the wanted stages give: [B, T, h, w, C] in spatial order, without a norm; see `forward`."""
        x_BThwC = self.patch_embed(pad_clip(clip_B3THW))
        _, slices, rows, columns, channels = x_BThwC.shape
        spatial, temporal = resize_positions(
            self.pos_embed_spatial, self.pos_embed_temporal, self.shape.grid, (slices, rows, columns)
        )
        positions = spatial.reshape(1, rows, columns, channels) + temporal.reshape(slices, 1, 1, channels)
        x_BLC = to_units(x_BThwC + positions)
        units = (slices, rows // UNIT, columns // UNIT)
        found: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, 1):
            x_BLC = run_block(block, x_BLC, recompute=self.recompute and self.training)
            stage = self.ends.index(number) + 1 if number in self.ends else 0
            if stage in wanted:
                found[stage] = from_units(x_BLC, units, UNIT >> (stage - 1))
        return found

    def _normed(self, x_BThwC: Tensor, stage: int) -> Tensor:
        if stage == 4 and self.norm is not None:
            return self.norm(x_BThwC)  # type: ignore[no-any-return]
        return F.layer_norm(x_BThwC, x_BThwC.shape[-1:], eps=EPS)

    def layer_of(self, name: str) -> int:
        """Return the depth of a parameter: 0 patches and positions, i + 1 block i, `layers` + 1 the final norm."""
        part, _, rest = name.partition(".")
        if part == "blocks":
            return int(rest.partition(".")[0]) + 1
        return self.layers + 1 if part == "norm" else 0

    def set_drop_path(self, rate: float) -> None:
        """See `Layered`."""
        for block, each in zip(self.blocks, even_rates(rate, self.layers), strict=True):
            assert isinstance(block, HieraBlock)
            block.drop_path = each


def hiera_b(width: int = 96, *, maps: Sequence[int] = (3, 4)) -> Hiera:
    """Hiera-B, of 24 blocks."""
    return Hiera(HieraShape(BASE, width, 1), maps=maps)


def hiera_bplus(width: int = 112, *, maps: Sequence[int] = (3, 4)) -> Hiera:
    """Hiera-B+, a wider Hiera-B."""
    return Hiera(HieraShape(BASE, width, 2), maps=maps)


def hiera_l(width: int = 144, *, maps: Sequence[int] = (3, 4)) -> Hiera:
    """Hiera-L, of 48 blocks."""
    return Hiera(HieraShape(LARGE, width, 2), maps=maps)


def hiera_h(width: int = 256, *, maps: Sequence[int] = (3, 4)) -> Hiera:
    """Hiera-H, a wider Hiera-L."""
    return Hiera(HieraShape(LARGE, width, 4), maps=maps)


def hiera_tiny(width: int = 32, *, maps: Sequence[int] = (2, 3)) -> Hiera:
    """A Hiera small enough to train in minutes on a CPU; it shares only the name with the tiny one of the source."""
    return Hiera(HieraShape((1, 1, 2, 1), width, 1, grid=(24, 32), slices=2), maps=maps)


def _table(rows: int, channels: int) -> nn.Parameter:
    table = torch.empty(1, rows, channels)
    return nn.Parameter(table if table.is_meta else nn.init.trunc_normal_(table, std=INIT_STD))

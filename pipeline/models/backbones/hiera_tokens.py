"""The tokens of a Hiera: their order, the table of their positions, and the maps that are made of them.

Shape suffixes of names: B clips, T time slices, H and W pixels, h and w cells of a map, L tokens of a clip, C channels.
"""

import torch.nn.functional as F
from torch import Tensor

from pipeline.base.errors import InputError

FRAMES = 2
"Frames of a time slice."
PATCH = 4
"Pixels per side of a token in the first stage."
UNIT = 8
"Tokens per side of a mask unit in the first stage."


def pad_clip(clip_B3THW: Tensor) -> Tensor:
    """Add zeros on the right and at the bottom, up to whole mask units of 32 x 32 pixels.

    Raises:
        InputError: the number of frames is odd, or there are none.
    """
    frames, height, width = clip_B3THW.shape[2:]
    if frames % FRAMES or not frames:
        raise InputError(f"a clip has {frames} frames, Hiera needs an even number: a token covers two")
    side = PATCH * UNIT
    right, bottom = -width % side, -height % side
    return F.pad(clip_B3THW, (0, right, 0, bottom)) if right or bottom else clip_B3THW


def to_units(x_BThwC: Tensor) -> Tensor:
    """Put the tokens of the first stage in the order of their mask units, [B, L, C]."""
    clips, slices, rows, columns, channels = x_BThwC.shape
    parts = x_BThwC.reshape(clips, slices, rows // UNIT, UNIT, columns // UNIT, UNIT, channels)
    return parts.transpose(3, 4).reshape(clips, -1, channels)


def from_units(x_BLC: Tensor, units: tuple[int, int, int], side: int) -> Tensor:
    """Put tokens in spatial order, [B, T, h, w, C].

    Args:
        x_BLC: tokens unit by unit.
        units: time slices, and mask units of a slice from top to bottom and from left to right.
        side: tokens per side of a unit.
    """
    slices, down, across = units
    parts = x_BLC.reshape(x_BLC.shape[0], slices, down, across, side, side, -1)
    return parts.transpose(3, 4).reshape(x_BLC.shape[0], slices, down * side, across * side, -1)


def pool_units(x_BLC: Tensor, side: int) -> Tensor:
    """Take the maximum of each 2 x 2 tokens of the mask units, whose sides have `side` tokens: [B, L / 4, C]."""
    channels = x_BLC.shape[2]
    # A view with the channels last, for which PyTorch pools without a copy.
    cells = x_BLC.reshape(-1, side, side, channels).permute(0, 3, 1, 2)
    return F.max_pool2d(cells, 2).permute(0, 2, 3, 1).reshape(x_BLC.shape[0], -1, channels)


def resize_positions(
    spatial_1LC: Tensor, temporal_1TC: Tensor, grid: tuple[int, int], wanted: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Resize the tables of positions: the spatial one bicubically, the temporal one linearly, corners not aligned.

    A table that has the wanted size is returned as it is, so its values do not change by a bit.

    Args:
        spatial_1LC: a row of the table for each cell of `grid`, row by row.
        temporal_1TC: a row for each time slice.
        grid: rows and columns of the spatial table.
        wanted: time slices, rows and columns.

    Returns:
        [1, rows * columns, C] and [1, slices, C].
    """
    slices, *sides = wanted
    if tuple(sides) != grid:
        table = spatial_1LC.reshape(1, *grid, -1).permute(0, 3, 1, 2)
        spatial_1LC = F.interpolate(table, sides, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    if slices != temporal_1TC.shape[1]:
        times = temporal_1TC.transpose(1, 2)
        temporal_1TC = F.interpolate(times, slices, mode="linear", align_corners=False).transpose(1, 2)
    return spatial_1LC, temporal_1TC


def join_maps(maps_BCThw: list[Tensor], cells: tuple[int, int]) -> tuple[Tensor, ...]:
    """Enlarge each map [B, C, T, h, w] to the resolution of the first, bilinearly, and keep the first cells.

    `cells` is how many rows and columns are kept: [B, C, T, *cells].
    """
    size = maps_BCThw[0].shape[2:]
    first, *others = maps_BCThw
    enlarged = [F.interpolate(each, size, mode="trilinear", align_corners=False) for each in others]
    return tuple(each[:, :, :, : cells[0], : cells[1]] for each in (first, *enlarged))

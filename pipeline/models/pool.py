"""Pools with a deterministic gradient on CUDA, where PyTorch has no deterministic kernel for them.

On other devices, or if determinism is not required, they call PyTorch's and torchvision's functions.

Shape suffixes of names: B clips, R boxes, C channels, T frames, H and W or h and w cells, s cells per side of the
result.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.roi_align import roi_align


def _must_be_deterministic(x: Tensor) -> bool:
    return x.is_cuda and torch.are_deterministic_algorithms_enabled()


class FrameMaxPool(nn.MaxPool3d):
    """Maximum over cells of one frame: kernel and stride in time are 1."""

    def __init__(self, kernel: int, *, stride: int, padding: int = 0) -> None:
        super().__init__((1, kernel, kernel), stride=(1, stride, stride), padding=(0, padding, padding))
        self.sides = kernel, stride, padding

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, C, T, H / stride, W / stride]."""
        if _must_be_deterministic(x_BCTHW):
            return self.by_frame(x_BCTHW)
        pooled: Tensor = super().forward(x_BCTHW)
        return pooled

    def by_frame(self, x_BCTHW: Tensor) -> Tensor:
        """Compute the same with the 2D pool, whose gradient is deterministic."""
        kernel, stride, padding = self.sides
        pooled = F.max_pool2d(x_BCTHW.flatten(1, 2), kernel, stride, padding)
        return torch.unflatten(pooled, 1, x_BCTHW.shape[1:3])


def mean_cells(map_BChw: Tensor, size: int) -> Tensor:
    """Adaptive mean pool (`AdaptiveAvgPool2d`): [B, C, h, w] -> [B, C, s, s] for s = size."""
    # A traced adaptive pool would keep the size of the traced frames.
    if _must_be_deterministic(map_BChw) or torch.compiler.is_exporting():
        return mean_by_matrices(map_BChw, size)
    return F.adaptive_avg_pool2d(map_BChw, size)


def mean_by_matrices(map_BChw: Tensor, size: int) -> Tensor:
    """Compute `mean_cells`, [B, C, size, size], with two matrix products, whose gradients are deterministic."""
    rows_sh, columns_sw = (_shares(length, size).to(map_BChw) for length in map_BChw.shape[2:])
    return rows_sh @ map_BChw @ columns_sw.T


def _shares(length: int, size: int) -> Tensor:
    """Return the weight of each cell in each bin, [size, length]; bins overlap where size does not divide length."""
    bins = torch.arange(size)[:, None]
    first, last = bins * length // size, -(-(bins + 1) * length // size)
    cells = torch.arange(length)
    inside = (cells >= first) & (cells < last)
    return inside.double() / inside.sum(dim=1, keepdim=True)


def align_boxes(
    map_BChw: Tensor, boxes_xyxy: Tensor, clip_index: Tensor, size: int, *, stride: int, aligned: bool
) -> Tensor:
    """RoIAlign in which each output cell averages as many samples as it covers cells of the map (`sampling_ratio` 0).

    Args:
        map_BChw: float.
        boxes_xyxy: [R, 4] in pixels, in the type of the map.
        clip_index: [R], the clip of each box.
        size: cells per side of the result.
        stride: pixels per cell of the map.
        aligned: shift boxes by half a cell.

    Returns:
        [R, C, s, s].
    """
    if _must_be_deterministic(map_BChw):
        return align_by_matrices(map_BChw, boxes_xyxy, clip_index, size, stride=stride, aligned=aligned)
    rois_R5 = torch.cat([clip_index[:, None].to(map_BChw), boxes_xyxy], dim=1)
    return roi_align(map_BChw, rois_R5, size, spatial_scale=1 / stride, sampling_ratio=0, aligned=aligned)


def align_by_matrices(
    map_BChw: Tensor, boxes_xyxy: Tensor, clip_index: Tensor, size: int, *, stride: int, aligned: bool
) -> Tensor:
    """Compute RoIAlign, [R, C, size, size], with two matrix products per box, whose gradients are deterministic.

    The mean over a grid of bilinear samples is a weighting of the rows times a weighting of the columns. (torchvision's
    own deterministic path gives NaN gradients for a box without area, which a crop can produce.)
    """
    scaled_R4 = boxes_xyxy * (1 / stride) - (0.5 if aligned else 0.0)
    height, width = map_BChw.shape[2:]
    rows_Rsh = _sample_shares(scaled_R4[:, 1], scaled_R4[:, 3], height, size, aligned=aligned)
    columns_Rsw = _sample_shares(scaled_R4[:, 0], scaled_R4[:, 2], width, size, aligned=aligned)
    return rows_Rsh[:, None] @ map_BChw[clip_index] @ columns_Rsw[:, None].transpose(2, 3)


def _sample_shares(start_R: Tensor, end_R: Tensor, length: int, size: int, *, aligned: bool) -> Tensor:
    """Return the weight of each cell along a map's side in each cell along a box's side, [R, size, length]."""
    extent_R = end_R - start_R if aligned else (end_R - start_R).clamp_min(1)
    bin_R11 = (extent_R / size)[:, None, None]
    samples_R11 = bin_R11.ceil()
    most = int(samples_R11.max().clamp_min(1)) if len(start_R) else 1
    sample_i = torch.arange(most, device=start_R.device)
    bins_s1 = torch.arange(size, device=start_R.device)[:, None]
    place_Rsi = start_R[:, None, None] + (bins_s1 + (sample_i + 0.5) / samples_R11.clamp_min(1)) * bin_R11
    counts_Rsi = (sample_i < samples_R11) & (place_Rsi >= -1) & (place_Rsi <= length)
    cells_l = torch.arange(length, device=start_R.device)
    near_Rsil = (1 - (place_Rsi.clamp(0, length - 1)[..., None] - cells_l).abs()).clamp_min(0)
    return (near_Rsil * counts_Rsi[..., None]).sum(dim=2) / samples_R11.clamp_min(1)

"""Features of boxes: temporal pooling, RoIAlign, and the vector of one person.

Shape suffixes of names: B clips, R boxes (RoIs), C channels, T frames, h and w cells of a map.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

TemporalPooling = Literal["mean", "max"]


def roi_features(
    maps: Sequence[Tensor],
    boxes_xyxy: Tensor,
    clip_index: Tensor,
    *,
    stride: int,
    output_size: int = 8,
    temporal: TemporalPooling = "mean",
) -> Tensor:
    """RoIAlign on the temporally pooled maps (MMAction2 `SingleRoIExtractor3D`).

    Args:
        maps: one map per pathway, [B, C_i, T_i, h, w]; channels are concatenated after temporal pooling.
        boxes_xyxy: [R, 4] in pixels of the clip.
        clip_index: [R], which clip a box lies in.
        stride: pixels per cell of the maps.
        output_size: cells per side of a RoI.
        temporal: how frames are pooled.

    Returns:
        [R, sum C_i, 1, output_size, output_size], float32 (float64 for float64 maps); R may be 0.

    Raises:
        ValueError: boxes and clip_index do not belong together.
    """
    # torchvision takes two seconds to import, and heads on stored features need nothing of it.
    from torchvision.ops import roi_align

    if boxes_xyxy.shape != (len(clip_index), 4):
        raise ValueError(f"boxes_xyxy is {tuple(boxes_xyxy.shape)}, expected ({len(clip_index)}, 4) as clip_index has")
    # Sums over many cells and positions between cells: half precision would move boxes.
    pooled = torch.cat([_pool_time(each, temporal) for each in maps], dim=1)
    rois_R5 = torch.cat([clip_index[:, None].to(pooled), boxes_xyxy.to(pooled)], dim=1)
    with torch.autocast(pooled.device.type, enabled=False):
        roi_RChw: Tensor = roi_align(
            pooled, rois_R5, output_size, spatial_scale=1 / stride, sampling_ratio=0, aligned=True
        )
    return roi_RChw.unsqueeze(2)


def _pool_time(map_BCThw: Tensor, temporal: TemporalPooling) -> Tensor:
    if map_BCThw.dtype != torch.float64:
        map_BCThw = map_BCThw.float()
    return map_BCThw.mean(dim=2) if temporal == "mean" else map_BCThw.max(dim=2).values


def pool_roi(roi_RCThw: Tensor) -> Tensor:
    """The vector of each box: mean over time, then the largest cell. [R, C, T, h, w] -> [R, C].

    `max` sends the gradient to one cell, as upstream's max pooling does; `amax` would spread it over ties.
    """
    return roi_RCThw.mean(dim=2).flatten(start_dim=2).max(dim=2).values

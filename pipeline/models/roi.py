"""Features of boxes: pooling over time, RoIAlign, and pooling into one vector per person.

Shape suffixes of names: B clips, R boxes (RoIs), C channels, T frames, h and w cells of a map, s cells per side of a
RoI.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.pool import align_boxes, mean_cells
from pipeline.models.settings import RoiSettings, TemporalPooling


def roi_channels(map_channels: int, settings: RoiSettings) -> int:
    """Return the channels of a box's feature; `map_channels` counts all pathways together."""
    return map_channels * (2 if settings.context == "global" else 1)


def pool_time(maps: Sequence[Tensor], temporal: TemporalPooling) -> Tensor:
    """Pool the map of each clip over its frames (first part of MMAction2 `SingleRoIExtractor3D`).

    Args:
        maps: one per pathway, [B, C_i, T_i, h, w]. Frames of a shorter pathway are repeated up to the longest T; if
            that is not a multiple, some frames count once more than others.
        temporal: how frames are pooled.

    Returns:
        [B, sum C_i, h, w], pathways in the given order; float32 (float64 for float64 maps).
    """
    longest = max(each.shape[2] for each in maps)
    return torch.cat([_pool_map(each, temporal, longest) for each in maps], dim=1)


def _pool_map(map_BCThw: Tensor, temporal: TemporalPooling, longest: int) -> Tensor:
    # These sums run over many cells: half precision would lose the differences between persons.
    if map_BCThw.dtype != torch.float64:
        map_BCThw = map_BCThw.float()
    if temporal == "max":
        return map_BCThw.max(dim=2).values
    if longest % map_BCThw.shape[2]:
        map_BCThw = F.interpolate(map_BCThw, (longest, *map_BCThw.shape[3:]), mode="nearest")
    return map_BCThw.mean(dim=2)


def roi_features(
    pooled_BChw: Tensor, boxes_xyxy: Tensor, clip_index: Tensor, *, stride: int, settings: RoiSettings
) -> Tensor:
    """Apply RoIAlign to the map pooled over time (second part of MMAction2 `SingleRoIExtractor3D`).

    Args:
        pooled_BChw: result of `pool_time`.
        boxes_xyxy: [R, 4] in pixels of the clip.
        clip_index: [R], the clip of each box.
        stride: pixels per cell of the map.
        settings: see `RoiSettings`.

    Returns:
        [R, `roi_channels`, 1, s, s] in the type of the map; R may be 0.

    Raises:
        ValueError: boxes and clip_index have different lengths.
    """
    if boxes_xyxy.shape != (clip_index.shape[0], 4):
        raise ValueError(
            f"boxes_xyxy is {tuple(boxes_xyxy.shape)}, expected ({clip_index.shape[0]}, 4) as clip_index has"
        )
    # Interpolated positions and sums over many cells: half precision would shift boxes and blur the context.
    with torch.autocast(pooled_BChw.device.type, enabled=False):
        roi_RCss = align_boxes(
            pooled_BChw,
            boxes_xyxy.to(pooled_BChw),
            clip_index,
            settings.output_size,
            stride=stride,
            aligned=settings.aligned,
        )
        if settings.context == "global":
            context_BCss = mean_cells(pooled_BChw, settings.output_size)
            roi_RCss = torch.cat([roi_RCss, context_BCss[clip_index]], dim=1)
    return roi_RCss.unsqueeze(2)


def extend_boxes(boxes_xyxy: Tensor, settings: RoiSettings, *, width: int, height: int) -> Tensor:
    """Enlarge boxes about their centres, as AlphAction does in testing.

    The size of a box includes both of its border pixels, x2 - x1 + 1. A box that grows is cut at the first and the last
    pixel of the clip; where no box grows, the boxes are returned as they are.

    Args:
        boxes_xyxy: [R, 4] in pixels of the clip.
        settings: `extend_x` and `extend_y`.
        width: of the clip, in pixels.
        height: of the clip, in pixels.

    Returns:
        [R, 4].
    """
    if not settings.extend_x and not settings.extend_y:
        return boxes_xyxy
    shares_2 = boxes_xyxy.new_tensor([settings.extend_x, settings.extend_y])
    # Not a tensor of a list: a traced one would hold the size of the traced clip.
    last_2 = torch.cat([boxes_xyxy.new_full((1,), side - 1) for side in (width, height)])
    first_R2, second_R2 = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    margin_R2 = shares_2 * (second_R2 - first_R2 + 1) / 2
    corners = (first_R2 - margin_R2, second_R2 + margin_R2)
    return torch.cat([each.clamp_min(0).minimum(last_2) for each in corners], dim=1)


def fit_boxes(
    boxes_xyxy: Tensor, settings: RoiSettings, *, sides: Sequence[int], cells: Sequence[int], stride: int
) -> Tensor:
    """Scale boxes so that `stride` of their pixels are one cell of the map, as `settings.scale` says.

    Args:
        boxes_xyxy: [R, 4] in pixels of the clip.
        settings: `scale`.
        sides: height and width of the clip, in pixels.
        cells: height and width of its map.
        stride: pixels per cell of the map, where it divides the sides.

    Returns:
        [R, 4], a new tensor where boxes change.
    """
    if settings.scale == "stride":
        return boxes_xyxy
    # Not a tensor of a list, see `extend_boxes`.
    y_1, x_1 = (boxes_xyxy.new_full((1,), stride * count / side) for count, side in zip(cells, sides, strict=True))
    return boxes_xyxy * torch.cat([x_1, y_1, x_1, y_1])


def pool_roi(roi_RCThw: Tensor) -> Tensor:
    """Pool each box into a vector: mean over time, then the maximum over cells. [R, C, T, h, w] -> [R, C].

    `max` sends the gradient to one cell, as upstream's max pooling does; `amax` would spread it over equal cells.
    """
    return roi_RCThw.mean(dim=2).flatten(start_dim=2).max(dim=2).values

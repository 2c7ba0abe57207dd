"""The detector: clips and boxes in, logits of persons out.

Shape suffixes of names: B clips, R boxes, K objects of a clip, C channels, h and w cells of a map.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.models.backbones.resnet3d import ResNet3d
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.backbones.token_map import TokenMap
from pipeline.models.backbones.videomae import VideoMae
from pipeline.models.cell_pool import cell_pool
from pipeline.models.context import BankWindow, Context, ObjectBoxes, ObjectRows
from pipeline.models.heads.head import Head, pool_persons
from pipeline.models.roi import extend_boxes, pool_time, roi_channels, roi_features
from pipeline.models.settings import RoiSettings
from pipeline.models.standardise import StandardisedHead

Backbone = ResNet3d | SlowFast | VideoMae | TokenMap


class Detector(nn.Module):
    """A backbone, RoIAlign and a head (MMAction2 `FastRCNN` with `AVARoIHead`).

    Attributes:
        roi_channels: channels of a person's feature, and so of a bank that this detector fills.
        pool: pools the cells of persons and objects before the head; None leaves it to the head, which takes the
            maximum.
    """

    roi_channels: int

    def __init__(self, backbone: Backbone, head: Head | StandardisedHead, *, roi: RoiSettings | None = None) -> None:
        """Put the parts together.

        Args:
            backbone: computes feature maps; has the attributes `stride` and `out_channels`.
            head: computes logits.
            roi: how person features are cut out of the maps; None takes the defaults.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.roi = roi or RoiSettings()
        self.roi_channels = roi_channels(backbone.out_channels, self.roi)
        self.pool = cell_pool(self.roi.pool, self.roi_channels)

    def forward(
        self,
        clips: Tensor,
        boxes_xyxy: Tensor,
        clip_index: Tensor,
        window: BankWindow | None = None,
        objects: ObjectBoxes | None = None,
        keep: Callable[[Tensor], None] | None = None,
        *,
        maps: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every box, [R, classes].

        Args:
            clips: normalised RGB, [B, 3, T, H, W].
            boxes_xyxy: [R, 4] in pixels of the clips.
            clip_index: [R], the clip of each box.
            window: windows of the bank, for a head that reads them.
            objects: boxes of objects, for a head that reads them; they are cut out of the same map.
            keep: gets each box's pooled feature, [R, roi_channels], detached.
            maps: the clips' `maps`, where several sets of boxes are scored; None computes them.
        """
        pooled_BChw = self.maps(clips) if maps is None else maps
        rows = None
        if objects is not None and "objects" in self.head.needs:
            rows = self._object_rows(pooled_BChw, objects)
        context = Context(clip_index, window, pooled_BChw, rows)
        boxes_xyxy = self._extended(clips, boxes_xyxy)
        roi = self._cut(pooled_BChw, boxes_xyxy, clip_index)
        if keep is not None:
            keep(pool_persons(roi.detach()))
        logits: Tensor = self.head(roi, context)
        return logits

    def maps(self, clips: Tensor) -> Tensor:
        """Compute the backbone's map of each clip, pooled over time, [B, C, h, w]."""
        return pool_time(self.backbone(clips), self.roi.temporal)

    def features(self, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor, persons: Tensor | None = None) -> Tensor:
        """Compute each box's pooled feature, [R, roi_channels], as the bank stores it (MMAction2 `LFBInferHead`).

        Args:
            clips: see `forward`.
            boxes_xyxy: see `forward`.
            clip_index: see `forward`.
            persons: bool [R], False for boxes of objects, which are never extended; None for persons alone.
        """
        pooled_BChw = self.maps(clips)
        extended_R4 = self._extended(clips, boxes_xyxy)
        if persons is not None:
            extended_R4 = torch.where(persons[:, None], extended_R4, boxes_xyxy)
        return pool_persons(self._cut(pooled_BChw, extended_R4, clip_index))

    def _extended(self, clips: Tensor, boxes_xyxy: Tensor) -> Tensor:
        """Extend the boxes of persons as the settings say, in evaluation only."""
        if self.training:
            return boxes_xyxy
        return extend_boxes(boxes_xyxy, self.roi, width=clips.shape[4], height=clips.shape[3])

    def _object_rows(self, pooled_BChw: Tensor, objects: ObjectBoxes) -> ObjectRows:
        """Cut the objects out of the map and pool them; empty places hold zeros."""
        clip_N, place_N = objects.mask.nonzero(as_tuple=True)
        found_NC = pool_persons(self._cut(pooled_BChw, objects.boxes_xyxy[clip_N, place_N], clip_N))
        rows_BKC = found_NC.new_zeros(*objects.mask.shape, self.roi_channels)
        return ObjectRows(rows_BKC.index_put((clip_N, place_N), found_NC), objects.mask)

    def _cut(self, pooled_BChw: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        """Cut boxes out of the maps: maps [R, C, 1, s, s], or rows [R, C] where the detector itself pools them."""
        roi = roi_features(pooled_BChw, boxes_xyxy, clip_index, stride=self.backbone.stride, settings=self.roi)
        if self.pool is None:
            return roi
        rows: Tensor = self.pool(roi)
        return rows

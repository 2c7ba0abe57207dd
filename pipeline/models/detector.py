"""The detector: clips and boxes in, logits of persons out.

Shape suffixes of names: B clips, R boxes, C channels, h and w cells of a map.
"""

from collections.abc import Callable

from torch import Tensor, nn

from pipeline.models.backbones.resnet3d import ResNet3d
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.head import Head
from pipeline.models.roi import pool_roi, pool_time, roi_channels, roi_features
from pipeline.models.settings import RoiSettings
from pipeline.models.standardise import StandardisedHead

Backbone = ResNet3d | SlowFast


class Detector(nn.Module):
    """A backbone, RoIAlign and a head (MMAction2 `FastRCNN` with `AVARoIHead`).

    Attributes:
        roi_channels: channels of a person's feature, and so of a bank that this detector fills.
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

    def forward(
        self,
        clips: Tensor,
        boxes_xyxy: Tensor,
        clip_index: Tensor,
        window: BankWindow | None = None,
        keep: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Compute the logits of every box, [R, classes].

        Args:
            clips: normalised RGB, [B, 3, T, H, W].
            boxes_xyxy: [R, 4] in pixels of the clips.
            clip_index: [R], the clip of each box.
            window: windows of the bank, for a head that reads them.
            keep: gets each box's pooled feature, [R, roi_channels], detached.
        """
        pooled_BChw = pool_time(self.backbone(clips), self.roi.temporal)
        context = Context(clip_index, window, pooled_BChw)
        roi = self._cut(pooled_BChw, boxes_xyxy, clip_index)
        if keep is not None:
            keep(pool_roi(roi.detach()))
        logits: Tensor = self.head(roi, context)
        return logits

    def features(self, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        """Compute each box's pooled feature, [R, roi_channels], as the bank stores it (MMAction2 `LFBInferHead`)."""
        pooled_BChw = pool_time(self.backbone(clips), self.roi.temporal)
        return pool_roi(self._cut(pooled_BChw, boxes_xyxy, clip_index))

    def _cut(self, pooled_BChw: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        return roi_features(pooled_BChw, boxes_xyxy, clip_index, stride=self.backbone.stride, settings=self.roi)

"""The detector: clips and boxes in, logits of persons out.

Shape suffixes of names: B clips, R boxes, C channels, L slots of a bank window.
"""

from torch import Tensor, nn

from pipeline.models.heads.head import Head, HeadContext
from pipeline.models.resnet3d import ResNet3d
from pipeline.models.roi import TemporalPooling, pool_roi, roi_features
from pipeline.models.standardise import StandardisedHead


class Detector(nn.Module):
    """A backbone, RoIAlign and a head (MMAction2 `FastRCNN` with `AVARoIHead`)."""

    def __init__(
        self,
        backbone: ResNet3d,
        head: Head | StandardisedHead,
        *,
        output_size: int = 8,
        temporal: TemporalPooling = "mean",
    ) -> None:
        """Put the parts together.

        Args:
            backbone: gives feature maps, and says their `stride`.
            head: gives logits.
            output_size: cells per side of a RoI.
            temporal: how the frames of a feature map are pooled before RoIAlign.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.output_size = output_size
        self.temporal: TemporalPooling = temporal

    def forward(
        self,
        clips: Tensor,
        boxes_xyxy: Tensor,
        clip_index: Tensor,
        window: Tensor | None = None,
        window_mask: Tensor | None = None,
    ) -> Tensor:
        """Logits of every box, [R, classes].

        Args:
            clips: normalised RGB, [B, 3, T, H, W].
            boxes_xyxy: [R, 4] in pixels of the clips.
            clip_index: [R], the clip of each box.
            window: [B, L, C_bank], for a head that reads the bank.
            window_mask: [B, L], True where a slot holds a row.
        """
        maps = self.backbone(clips)
        context = HeadContext(clip_index=clip_index, window=window, window_mask=window_mask, feature_maps=maps)
        logits: Tensor = self.head(self._roi(maps, boxes_xyxy, clip_index), context)
        return logits

    def features(self, clips: Tensor, boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        """The pooled feature of every box, [R, C], as the bank stores it (MMAction2 `LFBInferHead`)."""
        return pool_roi(self._roi(self.backbone(clips), boxes_xyxy, clip_index))

    def _roi(self, maps: tuple[Tensor, ...], boxes_xyxy: Tensor, clip_index: Tensor) -> Tensor:
        return roi_features(
            maps,
            boxes_xyxy,
            clip_index,
            stride=self.backbone.stride,
            output_size=self.output_size,
            temporal=self.temporal,
        )

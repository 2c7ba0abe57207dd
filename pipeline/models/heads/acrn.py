"""ACRN: relate each person to every cell of the frame (Sun et al. 2018, section 3.2; MMAction2 `ACRNHead`).

Shape suffixes of names: R persons, B clips, C channels, h and w cells of a map.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.conv import ConvBN
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings, pool_persons


class ActorCentricRelation(nn.Module):
    """Relate a person's feature to all cells of its clip's map: a 1x1 convolution of both, then 3x3 convolutions."""

    def __init__(self, *, roi_channels: int, map_channels: int, convs: int) -> None:
        super().__init__()
        self.roi_channels = roi_channels
        self.conv1 = ConvBN(roi_channels + map_channels, map_channels, kernel=(1, 1, 1))
        self.conv2 = ConvBN(map_channels, map_channels, kernel=(1, 3, 3))
        self.convs = nn.ModuleList([ConvBN(map_channels, map_channels, kernel=(1, 3, 3)) for _ in range(convs - 1)])

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI maps [R, C_roi, 1, s, s], or rows [R, C_roi], -> relation maps [R, C_map, 1, h, w]."""
        map_BChw = context.feature_map
        assert map_BChw is not None  # the head needs it
        # The 1x1 convolution of [person, map] is the sum of one of the person and one of the map. The latter is equal
        # for all persons of a clip, the former for all cells, so each is computed only once.
        weight_oi = self.conv1.conv.weight.flatten(1)
        of_person_RC = F.linear(pool_persons(roi), weight_oi[:, : self.roi_channels])
        of_map_BChw = F.conv2d(map_BChw, weight_oi[:, self.roi_channels :, None, None])
        relation_RC1hw: Tensor = (of_map_BChw[context.clip_index] + of_person_RC[:, :, None, None]).unsqueeze(2)
        relation_RC1hw = self.conv2(self.conv1.finish(relation_RC1hw))
        for conv in self.convs:
            relation_RC1hw = conv(relation_RC1hw)
        return relation_RC1hw


def acrn(settings: HeadSettings, *, convs: int = 1) -> Head:
    """Build the actor-centric relation head. It reads the feature map, so it trains only with the detector (scope all).

    Args:
        settings: see `HeadSettings`.
        convs: number of 3x3 convolutions; published with 1.

    Raises:
        InputError: `convs` is below 1, or the settings have no feature map.
    """
    if convs < 1:
        raise InputError(f"head acrn: convs is {convs}, expected at least 1")
    if settings.map_channels == 0:
        raise InputError("head acrn: it reads the feature map, found map_channels 0")
    relation = ActorCentricRelation(roi_channels=settings.roi_channels, map_channels=settings.map_channels, convs=convs)
    return Head(
        relation,
        settings,
        channels=settings.map_channels,
        needs=frozenset({"feature_map"}),
        scopes=frozenset({"all"}),
    )

"""Pool the cells of a person's map into one vector otherwise than by their maximum (`RoiSettings.pool`).

The maximum is what published heads take, each by itself (`pool_roi`). Where `pool` says otherwise the detector pools
before its head, which then gets rows, as it does from a bank.

Shape suffixes of names: R boxes (RoIs), C channels, T frames, h and w cells of a map, n cells, a attention heads, d
channels of an attention head.
"""

import torch
from torch import Tensor, nn

from pipeline.models.settings import CellPooling

MOST_HEADS = 8


class MeanCells(nn.Module):
    """The mean over time and cells."""

    def forward(self, roi_RCThw: Tensor) -> Tensor:
        """[R, C, T, h, w] -> [R, C]."""
        return roi_RCThw.flatten(2).mean(dim=2)


class AttendCells(nn.Module):
    """A learned query attends to the cells: the channels of each attention head are summed by that head's weights.

    The query starts at zero, and so the module as the mean over cells. What it sums are the map's own values, so that a
    row has the scale and the channels of the map. The weights are computed in float32.
    """

    def __init__(self, channels: int) -> None:
        """Build the query and the keys.

        Args:
            channels: of the map; `MOST_HEADS` or, where they do not divide it, half as many and so on share them.
        """
        super().__init__()
        self.heads = next(each for each in (MOST_HEADS, 4, 2, 1) if channels % each == 0)
        self.norm = nn.LayerNorm(channels)
        self.key = nn.Linear(channels, channels)
        self.query = nn.Parameter(torch.zeros(self.heads, channels // self.heads))

    def forward(self, roi_RCThw: Tensor) -> Tensor:
        """[R, C, T, h, w] -> [R, C]."""
        with torch.autocast(roi_RCThw.device.type, enabled=False):
            cells_RnC = roi_RCThw.flatten(2).transpose(1, 2)
            keys_Rnad = torch.unflatten(self.key(self.norm(cells_RnC)), 2, self.query.shape)
            logits_Rna = (keys_Rnad * self.query).sum(dim=3) * self.query.shape[1] ** -0.5
            weights_Rna1 = logits_Rna.softmax(dim=1).unsqueeze(3)
            pooled_RC: Tensor = (torch.unflatten(cells_RnC, 2, self.query.shape) * weights_Rna1).sum(dim=1).flatten(1)
        return pooled_RC


def cell_pool(kind: CellPooling, channels: int) -> nn.Module | None:
    """Build the pool of a detector's persons; None for the maximum, which each head takes itself.

    Args:
        kind: see `RoiSettings`.
        channels: of a person's map.
    """
    if kind == "max":
        return None
    return MeanCells() if kind == "mean" else AttendCells(channels)

"""LFB-Max and LFB-Avg: append the pooled window to the person's feature (Wu et al. 2019, section 3.3).

Shape suffixes of names: R persons, B clips, L slots of a window, C channels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.context import Context
from pipeline.models.heads.head import Head, HeadSettings, pool_persons, read_window
from pipeline.models.settings import Mask

Pooling = Literal["max", "mean"]


def pool_window(window_BLC: Tensor, valid_BL: Tensor | None, pooling: Pooling) -> Tensor:
    """Pool each window into one row, [B, C].

    Args:
        window_BLC: rows, zeros in empty slots.
        valid_BL: True where a slot counts. None: all slots count, so zeros lower the mean and are a lower bound of the
            maximum, as in MMAction2's `FBOAvg` and `FBOMax`.
        pooling: maximum or mean over the slots.

    Returns:
        [B, C]; zeros for a window without any slot that counts.
    """
    if valid_BL is None:
        return window_BLC.mean(dim=1) if pooling == "mean" else window_BLC.max(dim=1).values
    valid_BL1 = valid_BL[:, :, None]
    if pooling == "mean":
        return window_BLC.masked_fill(~valid_BL1, 0).sum(dim=1) / valid_BL1.sum(dim=1).clamp_min(1)
    # The lowest finite number instead of -inf: an empty window then has finite values and gradients.
    largest_BC = window_BLC.masked_fill(~valid_BL1, torch.finfo(window_BLC.dtype).min).max(dim=1).values
    return largest_BC.masked_fill(~valid_BL.any(dim=1, keepdim=True), 0)


class PoolBank(nn.Module):
    """Concatenates a person's pooled feature with its pooled window."""

    def __init__(self, pooling: Pooling, mask: Mask) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.mask: Mask = mask

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """RoI features (see `Head`) -> [R, C_roi + C_bank]."""
        person_RC = pool_persons(roi)
        window_BLC, valid_BL, window_R = read_window(context, self.mask, like=person_RC)
        bank_BC = pool_window(window_BLC, valid_BL, self.pooling)
        return torch.cat([person_RC, bank_BC[window_R]], dim=1)


def _pool_head(settings: HeadSettings, pooling: Pooling) -> Head:
    channels = settings.roi_channels + settings.bank_channels
    return Head(PoolBank(pooling, settings.mask), settings, channels=channels, needs=frozenset({"window"}))


def lfb_max(settings: HeadSettings) -> Head:
    """Build the head that appends the window's maximum to the person's feature (MMAction2 `FBOMax`)."""
    return _pool_head(settings, "max")


def lfb_avg(settings: HeadSettings) -> Head:
    """Build the head that appends the window's mean to the person's feature (MMAction2 `FBOAvg`)."""
    return _pool_head(settings, "mean")

"""Standardised features for heads: zero mean and unit deviation per channel, by statistics of the train split.

Without this, LFB-NL does not get above chance on frozen features: their channels differ in scale by orders of
magnitude, and the largest dominate the products of the attention.
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.context import Context
from pipeline.models.heads.head import Head, pool_persons

CHUNK_ROWS = 4096  # rows cast to float64 at a time: a chunk may be a whole film
STD_FLOOR = 0.01  # times the median standard deviation of the channels that vary


class Standardise(nn.Module):
    """(x - mean) / std per channel; mean and std are buffers, so the checkpoint keeps them."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        """Store float32 copies.

        Args:
            mean: [C].
            std: [C], above 0.

        Raises:
            ValueError: the shapes differ, or a value is not finite or a std not above 0.
        """
        super().__init__()
        if mean.dim() != 1 or mean.shape != std.shape:
            raise ValueError(f"mean is {tuple(mean.shape)} and std {tuple(std.shape)}, expected one [C] shape")
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("std", std.float().clone())
        if self.mean.is_meta:
            return  # a meta model, built only to count operations, has no values
        if not (self.mean.isfinite().all() and self.std.isfinite().all() and (self.std > 0).all()):
            raise ValueError("mean and std must be finite and std above 0")

    def forward(self, x: Tensor, *, dim: int) -> Tensor:
        """Standardise `x` along its channel dimension `dim`."""
        shape = [-1 if axis == dim % x.dim() else 1 for axis in range(x.dim())]
        x = x if x.dtype == torch.float64 else x.float()
        return (x - self.mean.view(shape)) / self.std.view(shape)


def fit_standardise(chunks: Iterable[Tensor]) -> Standardise:
    """Compute the mean and (population) standard deviation of rows, in one pass and in float64.

    A channel's std is at least `STD_FLOOR` times the median std of the channels that vary (1 if none varies). So a
    channel that is constant in the train split becomes 0 there, and stays moderate elsewhere.

    Args:
        chunks: rows of the train split only, [n, C] each, of any floating type.

    Raises:
        InputError: there is no row, or a value is not finite.
    """
    count, mean, squares = 0, torch.zeros(0), torch.zeros(0)
    for chunk in (few for many in chunks for few in torch.split(many, CHUNK_ROWS) if len(few)):
        rows = chunk.double()
        chunk_mean = rows.mean(dim=0)
        chunk_squares = (rows - chunk_mean).square().sum(dim=0)
        if count == 0:
            mean, squares = torch.zeros_like(chunk_mean), torch.zeros_like(chunk_mean)
        total = count + len(rows)
        difference = chunk_mean - mean
        mean = mean + difference * (len(rows) / total)
        squares = squares + chunk_squares + difference.square() * (count * len(rows) / total)
        count = total
    if count == 0:
        raise InputError("head.standardise: no rows in the train split, expected at least one")
    if not (mean.isfinite().all() and squares.isfinite().all()):
        raise InputError("head.standardise: a feature of the train split is not finite")
    std = (squares / count).sqrt()
    varying = std[std > 1e-6 * mean.abs()]  # rounding makes constant channels vary a little
    return Standardise(
        mean, std.clamp_min(STD_FLOOR * float(varying.median())) if len(varying) else torch.ones_like(std)
    )


class StandardisedHead(nn.Module):
    """A head whose inputs are standardised first.

    Standardising RoI maps per channel and then pooling gives the same rows as standardising the pooled rows, because
    the mean and the maximum commute with a shift and a positive factor. Where the detector pools by attention, the head
    gets rows alone.
    """

    needs: frozenset[str]
    scopes: frozenset[str]

    def __init__(self, head: Head, *, roi: Standardise | None, bank: Standardise | None) -> None:
        """Wrap `head`.

        Args:
            head: the head to wrap.
            roi: for the features of persons and objects; None leaves them unchanged.
            bank: for the rows in a window; None leaves them unchanged.
        """
        super().__init__()
        self.head = head
        self.roi = roi
        self.bank = bank
        self.needs = head.needs
        self.scopes = head.scopes

    def forward(self, roi: Tensor, context: Context) -> Tensor:
        """See `Head.forward`. Empty slots of the window and empty places of objects stay zeros."""
        if self.bank is not None and len(self.bank.mean) == roi.shape[1]:
            # In scope all the persons are not standardised, and a head may put them among the rows of the window.
            context = replace(context, own_rows=self.bank(pool_persons(roi.detach()), dim=1))
        if self.roi is not None:
            roi = self.roi(roi, dim=1)
            if context.objects is not None:
                # With the persons' statistics: both are cut out of the same maps in the same way.
                mask_BK1 = context.objects.mask[:, :, None]
                seen = self.roi(context.objects.rows, dim=2).masked_fill(~mask_BK1, 0)
                context = replace(context, objects=replace(context.objects, rows=seen))
        if self.bank is not None and context.window is not None:
            context = replace(context, window=replace(context.window, mean=self.bank.mean, std=self.bank.std))
        logits: Tensor = self.head(roi, context)
        return logits

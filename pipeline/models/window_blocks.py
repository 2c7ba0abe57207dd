"""Sum the rows of windows by weights that queries give them, without a copy of all windows.

Windows are read a few at a time (on a CPU one), converted in a buffer that stays in the processor's cache, and read once
more for the gradient. Rows of the bank have no gradient; rows that need one are read whole.

Shape suffixes of names: W windows, w windows of a block, P persons of the window that has most, L slots of a window, S
seconds of a window, C channels of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.models.context import BankWindow

CPU_BYTES = 1 << 20
"In training windows that are smaller are read together on a CPU, up to so many bytes."
GPU_BYTES = 1 << 28


@dataclass(frozen=True)
class Look:
    """Which rows are looked at, and by how many."""

    window: BankWindow
    valid_WL: Tensor | None
    "True where a slot takes part; None lets all take part."
    counts: Sequence[int] | None
    "Persons of each window; None where a graph is traced, which keeps them open."
    empty: bool
    "Empty slots take part, as zeros."
    alone: bool
    "Read each window by itself on a CPU, so that what its persons get depends on no other window."


class Blocks:
    """Reads windows block by block, less their mean (`Look.window.mean`) and not divided by `std`.

    Divided are the queries before and the sums after, which are fewer than the rows.
    """

    def __init__(self, look: Look, like: Tensor) -> None:
        """Read in the type of `like`."""
        self.look = look
        self.dtype = like.dtype
        self._buffers: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[tuple[slice, int]]:
        """Yield the windows of each block, and the most persons that one of them has; a block of nobody is left out."""
        counts = self.look.counts or ()
        window = self.look.window
        size = window.mask.shape[1] * window.rows.shape[-1] * torch.empty(0, dtype=self.dtype).element_size()
        if window.mask.device.type == "cpu":
            together = 1 if self.look.alone else max(1, CPU_BYTES // max(1, size))
        else:
            together = max(1, GPU_BYTES // max(1, size))
        for first in range(0, len(counts), together):
            persons = max(counts[first : first + together])
            if persons:
                yield slice(first, first + together), persons

    def read(self, windows: slice) -> Tensor:
        """Return the rows of some windows, [w, L, C]; the next call may overwrite them."""
        window = self.look.window
        rows = window.taken(
            windows, self._buffer("stored", windows, window.rows.dtype) if window.slots is not None else None
        )
        if rows.dtype == self.dtype and window.mean is None and window.placed is None:
            return rows
        read = self._buffer("read", windows, self.dtype).copy_(rows)
        if window.mean is not None and window.std is not None:
            read.sub_(window.mean)
            if self.look.empty:  # else what they hold has no weight
                read.masked_fill_(~window.mask[windows][:, :, None], 0)
        if window.placed is not None:
            placed = window.placed.rows[windows]
            read[:, window.placed.slots] = placed if window.std is None else placed * window.std
        return read

    def _buffer(self, name: str, windows: slice, dtype: torch.dtype) -> Tensor:
        mask_wL = self.look.window.mask[windows]
        shape = (*mask_wL.shape, self.look.window.rows.shape[-1])
        found = self._buffers.get(name)
        if found is None or len(found) < shape[0]:
            found = torch.empty(shape, dtype=dtype, device=mask_wL.device)
            self._buffers[name] = found
        return found[: shape[0]]


def row_weights(query_wPC: Tensor, bias_wPS: Tensor | None, rows_wLC: Tensor, valid_wL: Tensor | None) -> Tensor:
    """Compute softmax(query . row + bias of its second) over the slots that take part, [w, P, L]."""
    score_wPL = query_wPC @ rows_wLC.transpose(1, 2)
    if bias_wPS is not None:
        seconds = bias_wPS.shape[2]
        score_wPL = (torch.unflatten(score_wPL, 2, (seconds, -1)) + bias_wPS[..., None]).flatten(2)
    if valid_wL is not None:
        # The lowest finite number, not -inf: softmax over a row of -inf gives NaN values and NaN gradients.
        score_wPL = score_wPL.masked_fill(~valid_wL[:, None, :], torch.finfo(score_wPL.dtype).min)
    return score_wPL.softmax(dim=2)


def by_second(weights_wPL: Tensor, seconds: int) -> Tensor:
    """Sum weights over the slots of each second, [w, P, S]."""
    return torch.unflatten(weights_wPL, 2, (seconds, -1)).sum(dim=3)


def sum_rows(query_WPC: Tensor, bias_WPS: Tensor | None, look: Look) -> tuple[Tensor, Tensor]:
    """Return the sums of each window's rows by the weights of its persons, and the weights of each second.

    Args:
        query_WPC: float32 or float64; places after a window's last person hold anything finite.
        bias_WPS: added to the score of every row of a second; None adds nothing.
        look: see `Look`.

    Returns:
        Sums [W, P, C] and weights [W, P, S], or [W, P, 0] without `bias_WPS`; they have a meaning only for persons.
    """
    if look.counts is None or look.window.rows.requires_grad:
        rows_WLC = look.window.whole(query_WPC.dtype)
        weights_WPL = row_weights(query_WPC, bias_WPS, rows_WLC, look.valid_WL)
        return weights_WPL @ rows_WLC, _shares(weights_WPL, bias_WPS)
    sums_WPC, shares_WPS = _SumRows.apply(_divided(query_WPC, look), bias_WPS, look)
    return _divided(sums_WPC, look), shares_WPS


def all_weights(query_WPC: Tensor, bias_WPS: Tensor | None, look: Look) -> Tensor:
    """Return the weights by which `sum_rows` sums, [W, P, L]."""
    weights_WPL = query_WPC.new_zeros(*query_WPC.shape[:2], look.window.mask.shape[1])
    query_WPC, blocks = _divided(query_WPC, look), Blocks(look, query_WPC)
    for windows, persons in blocks:
        weights_WPL[windows, :persons] = _of_block(blocks, windows, persons, query_WPC, bias_WPS)[1]
    return weights_WPL


def _divided(values_WPC: Tensor, look: Look) -> Tensor:
    return values_WPC if look.window.std is None else values_WPC / look.window.std.to(values_WPC.dtype)


def _shares(weights_WPL: Tensor, bias_WPS: Tensor | None) -> Tensor:
    return weights_WPL[:, :, :0] if bias_WPS is None else by_second(weights_WPL, bias_WPS.shape[2])


def _of_block(
    blocks: Blocks, windows: slice, persons: int, query_WPC: Tensor, bias_WPS: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the rows of a block and the weights of its persons."""
    rows_wLC = blocks.read(windows)
    bias_wPS = None if bias_WPS is None else bias_WPS[windows, :persons]
    valid_wL = None if blocks.look.valid_WL is None else blocks.look.valid_WL[windows]
    return rows_wLC, row_weights(query_WPC[windows, :persons], bias_wPS, rows_wLC, valid_wL)


class _SumRows(torch.autograd.Function):
    """`sum_rows` with blocks: what is kept for the gradient are queries and weights, and no row."""

    @staticmethod
    def forward(ctx: Any, query_WPC: Tensor, bias_WPS: Tensor | None, look: Look) -> tuple[Tensor, Tensor]:
        blocks = Blocks(look, query_WPC)
        sums_WPC = torch.zeros_like(query_WPC)
        weights_WPL = query_WPC.new_zeros(*query_WPC.shape[:2], look.window.mask.shape[1])
        with torch.autocast(query_WPC.device.type, enabled=False):
            for windows, persons in blocks:
                rows_wLC, weights_wPL = _of_block(blocks, windows, persons, query_WPC, bias_WPS)
                weights_WPL[windows, :persons] = weights_wPL
                sums_WPC[windows, :persons] = weights_wPL @ rows_wLC
        ctx.save_for_backward(query_WPC, weights_WPL)
        ctx.look, ctx.seconds = look, None if bias_WPS is None else bias_WPS.shape[2]
        return sums_WPC, _shares(weights_WPL, bias_WPS)

    @staticmethod
    def backward(
        ctx: Any, of_sums_WPC: Tensor, of_shares_WPS: Tensor
    ) -> tuple[Tensor, Tensor | None, None]:
        query_WPC, weights_WPL = ctx.saved_tensors
        blocks = Blocks(ctx.look, query_WPC)
        of_query_WPC, of_score_WPL = torch.zeros_like(query_WPC), torch.zeros_like(weights_WPL)
        for windows, persons in blocks:
            here = windows, slice(persons)
            rows_wLC, weights_wPL, of_sums_wPC = blocks.read(windows), weights_WPL[here], of_sums_WPC[here]
            of_weights_wPL = of_sums_wPC @ rows_wLC.transpose(1, 2)
            if ctx.seconds is not None:
                of_shares_wPS1 = of_shares_WPS[here][..., None]
                of_weights_wPL = (torch.unflatten(of_weights_wPL, 2, (ctx.seconds, -1)) + of_shares_wPS1).flatten(2)
            mean_wP1 = (weights_wPL * of_weights_wPL).sum(dim=2, keepdim=True)
            of_score_wPL = weights_wPL * (of_weights_wPL - mean_wP1)
            of_score_WPL[here] = of_score_wPL
            of_query_WPC[here] = of_score_wPL @ rows_wLC
        of_bias_WPS = None if ctx.seconds is None else by_second(of_score_WPL, ctx.seconds)
        return of_query_WPC, of_bias_WPS, None

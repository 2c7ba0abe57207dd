"""Sum the rows of windows by weights that queries give them, without a copy of all windows.

Windows are read a few at a time and once more for the gradient. On a CPU a window is read by itself, only in the slots
that take part, into a buffer that stays in the processor's cache, where it is converted. Rows of the bank have no
gradient; rows that need one are read whole.

Shape suffixes of names: W windows, w windows of a block, P persons of the window that has most, p persons of a block, L
slots of a window, l slots that are read, S seconds of a window, C channels of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.models.context import BankWindow

CPU_BYTES = 1 << 20
"In training, windows of fewer bytes are read together on a CPU, up to so many."
GPU_BYTES = 1 << 28


@dataclass(frozen=True)
class RowsLookedAt:
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


@dataclass(frozen=True)
class WindowBlock:
    """Windows that are read together."""

    windows: slice
    persons: int
    "The most that one of the windows has."
    slots: Tensor | None
    "[l]: the slots that are read, of a window that is read by itself; None reads all."

    def of(self, values_WPL: Tensor) -> Tensor:
        """Return the values of this block's windows, persons and slots, [w, p, l]."""
        values_wpL = values_WPL[self.windows, : self.persons]
        return values_wpL if self.slots is None else values_wpL.index_select(2, self.slots)

    def put(self, values_WPL: Tensor, values_wpl: Tensor) -> None:
        """Write values of this block to their place."""
        values_wpL = values_WPL[self.windows, : self.persons]
        if self.slots is None:
            values_wpL.copy_(values_wpl)
        else:
            values_wpL.index_copy_(2, self.slots, values_wpl)


class Blocks:
    """Reads windows block by block, not yet divided (`BankWindow.divisor`).

    Divided are the queries before and the sums after, which are fewer than the rows.
    """

    def __init__(self, look: RowsLookedAt, dtype: torch.dtype) -> None:
        """Read in a type."""
        self.look = look
        self.dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[WindowBlock]:
        """Yield the blocks; one of nobody, or of nothing to see, is left out."""
        counts, valid_WL = self.look.counts or (), self.look.valid_WL
        window = self.look.window
        size = window.mask.shape[1] * window.stored.shape[-1] * self.dtype.itemsize
        of_cpu = window.mask.device.type == "cpu"
        together = 1 if of_cpu and self.look.alone else max(1, (CPU_BYTES if of_cpu else GPU_BYTES) // max(1, size))
        for first in range(0, len(counts), together):
            persons = max(counts[first : first + together])
            slots = valid_WL[first].nonzero()[:, 0] if of_cpu and together == 1 and valid_WL is not None else None
            if persons and (slots is None or len(slots)):
                yield WindowBlock(slice(first, first + together), persons, slots)

    def read(self, block: WindowBlock) -> Tensor:
        """Return the rows of a block, [w, l, C]; the next call may overwrite them."""
        window, windows = self.look.window, block.windows
        rows = self._stored(block)
        if rows.dtype == self.dtype and all(each is None for each in (window.mean, window.dropped, window.placed)):
            return rows
        read = self._buffer("read", rows.shape, self.dtype).copy_(rows)
        if window.mean is not None:
            read.sub_(window.mean)
            if self.look.empty:  # else what they hold has no weight
                empty_wL = ~window.mask[windows]
                empty_wl = empty_wL if block.slots is None else empty_wL[:, block.slots]
                read.masked_fill_(empty_wl[:, :, None], 0)
        if window.dropped is not None:
            place_wL = window.dropped.place[windows]
            place_wl = place_wL if block.slots is None else place_wL[:, block.slots]
            read.mul_(window.dropped.kept[place_wl])
        if window.placed is not None:
            placed, at = window.placed.rows[windows].to(self.dtype), window.placed.slots
            divisor = window.divisor(self.dtype)
            placed = placed if divisor is None else placed * divisor
            if block.slots is None:
                read[:, at] = placed
            else:
                here = (block.slots >= at.start) & (block.slots < at.stop)
                read[:, here] = placed[:, block.slots[here] - at.start]
        return read

    def _stored(self, block: WindowBlock) -> Tensor:
        """Return the rows of a block as they are stored."""
        window, windows = self.look.window, block.windows
        if window.slots is None:
            if block.slots is None:
                return window.stored[windows]
            table, chosen = window.stored[windows.start], block.slots
        else:
            slots_wL = window.slots[windows]
            table, chosen = window.stored, slots_wL if block.slots is None else slots_wL[:, block.slots]
        shape = (1 if chosen.dim() == 1 else len(chosen), chosen.shape[-1], table.shape[1])
        stored = self._buffer("stored", shape, table.dtype)
        torch.index_select(table, 0, chosen.reshape(-1), out=stored.flatten(0, 1))
        return stored

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        size = shape[0] * shape[1] * shape[2]
        found = self._buffers.get(name)
        if found is None or len(found) < size:
            found = torch.empty(size, dtype=dtype, device=self.look.window.mask.device)
            self._buffers[name] = found
        return found[:size].view(*shape)


def row_weights(query_wpC: Tensor, bias_wpl: Tensor | None, rows_wlC: Tensor, valid_wl: Tensor | None) -> Tensor:
    """Compute softmax(query . row + bias) over the slots that take part, [w, p, l]."""
    score_wpl = query_wpC @ rows_wlC.transpose(1, 2)
    if bias_wpl is not None:
        score_wpl = score_wpl + bias_wpl
    if valid_wl is not None:
        # The lowest finite number, not -inf: softmax over a row of -inf gives NaN values and NaN gradients.
        score_wpl = score_wpl.masked_fill(~valid_wl[:, None, :], torch.finfo(score_wpl.dtype).min)
    return score_wpl.softmax(dim=2)


def sum_rows(query_WPC: Tensor, bias_WPL: Tensor | None, look: RowsLookedAt) -> tuple[Tensor, Tensor]:
    """Return the sums of each window's rows by the weights of its persons, and the weights.

    Args:
        query_WPC: float32 or float64; places after a window's last person hold anything finite.
        bias_WPL: added to the score of each slot; None adds nothing.
        look: see `RowsLookedAt`.

    Returns:
        Sums [W, P, C] and weights [W, P, L]; they have a meaning only for persons, and none for one whose window has no
        slot that takes part.
    """
    if look.counts is None or look.window.stored.requires_grad:
        rows_WLC = look.window.whole(query_WPC.dtype)
        weights_WPL = row_weights(query_WPC, bias_WPL, rows_WLC, look.valid_WL)
        return weights_WPL @ rows_WLC, weights_WPL
    divisor = look.window.divisor(query_WPC.dtype)
    sums_WPC, weights_WPL = _SumRows.apply(query_WPC if divisor is None else query_WPC / divisor, bias_WPL, look)
    return sums_WPC if divisor is None else sums_WPC / divisor, weights_WPL


class _SumRows(torch.autograd.Function):
    """`sum_rows` with blocks: what is kept for the gradient are queries and weights, and no row."""

    @staticmethod
    def forward(ctx: Any, query_WPC: Tensor, bias_WPL: Tensor | None, look: RowsLookedAt) -> tuple[Tensor, Tensor]:
        blocks = Blocks(look, query_WPC.dtype)
        sums_WPC = torch.zeros_like(query_WPC)
        weights_WPL = query_WPC.new_zeros(*query_WPC.shape[:2], look.window.mask.shape[1])
        with torch.autocast(query_WPC.device.type, enabled=False):
            for block in blocks:
                rows_wlC = blocks.read(block)
                bias_wpl = None if bias_WPL is None else block.of(bias_WPL)
                valid_wl = None if look.valid_WL is None or block.slots is not None else look.valid_WL[block.windows]
                here = block.windows, slice(block.persons)
                weights_wpl = row_weights(query_WPC[here], bias_wpl, rows_wlC, valid_wl)
                block.put(weights_WPL, weights_wpl)
                sums_WPC[here] = weights_wpl @ rows_wlC
        ctx.save_for_backward(query_WPC, weights_WPL)
        ctx.look, ctx.has_bias = look, bias_WPL is not None
        return sums_WPC, weights_WPL

    @staticmethod
    def backward(ctx: Any, of_sums_WPC: Tensor, of_weights_WPL: Tensor) -> tuple[Tensor, Tensor | None, None]:
        query_WPC, weights_WPL = ctx.saved_tensors
        blocks = Blocks(ctx.look, query_WPC.dtype)
        of_query_WPC, of_score_WPL = torch.zeros_like(query_WPC), torch.zeros_like(weights_WPL)
        for block in blocks:
            here = block.windows, slice(block.persons)
            rows_wlC, weights_wpl = blocks.read(block), block.of(weights_WPL)
            of_weights_wpl = of_sums_WPC[here] @ rows_wlC.transpose(1, 2) + block.of(of_weights_WPL)
            mean_wp1 = (weights_wpl * of_weights_wpl).sum(dim=2, keepdim=True)
            of_score_wpl = weights_wpl * (of_weights_wpl - mean_wp1)
            block.put(of_score_WPL, of_score_wpl)
            of_query_WPC[here] = of_score_wpl @ rows_wlC
        return of_query_WPC, of_score_WPL if ctx.has_bias else None, None

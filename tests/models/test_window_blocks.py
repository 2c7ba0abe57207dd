"""Sums of rows without a copy of the windows."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipeline.models import window_blocks
from pipeline.models.context import BankWindow, Placed, drop_values
from pipeline.models.window_blocks import RowsLookedAt, row_weights, sum_rows

WINDOWS, SLOTS, CHANNELS, PERSONS = 4, 6, 5, 3
COUNTS = [2, 0, 3, 1]
SLOTS_OF = torch.tensor([[1, 0, 7, 3, 0, 2], [4, 5, 6, 0, 0, 1], [0, 2, 0, 8, 8, 0], [0] * SLOTS])


def look_of(
    *, masked: bool, standardised: bool = True, placed: bool = True, alone: bool = True, dropped: bool = True
) -> RowsLookedAt:
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(9, CHANNELS, generator=draw).half()
    table[0] = 0
    given = (torch.randn(CHANNELS, generator=draw), torch.rand(CHANNELS, generator=draw) + 0.5) if standardised else ()
    window = BankWindow(table, SLOTS_OF != 0, torch.tensor([0, 0, 2, 2, 2, 3]), SLOTS_OF, *given)
    if dropped:
        window = drop_values(window, 0.4)
    if placed:
        rows = torch.randn(WINDOWS, 2, CHANNELS, generator=draw)
        window = replace(window, placed=Placed(slice(2, 4), rows))
    return RowsLookedAt(window, window.mask if masked else None, COUNTS, empty=not masked, alone=alone)


def plain(query: Tensor, bias: Tensor | None, look: RowsLookedAt) -> tuple[Tensor, Tensor]:
    rows = look.window.whole(query.dtype)
    weights = row_weights(query, bias, rows, look.valid_WL)
    return weights @ rows, weights


def asked() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    query = torch.randn(WINDOWS, PERSONS, CHANNELS, generator=draw, dtype=torch.float64)
    return query, torch.randn(WINDOWS, PERSONS, SLOTS, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_sums_weights_and_gradients_are_those_of_whole_windows(
    masked: bool, standardised: bool, placed: bool, dropped: bool, alone: bool
) -> None:
    look = look_of(masked=masked, standardised=standardised, placed=placed, dropped=dropped, alone=alone)
    found = []
    for way in (sum_rows, plain):
        query, bias = (each.requires_grad_() for each in asked())
        sums, weights = way(query, bias, look)
        people = [(sums[w, :n], weights[w, :n]) for w, n in enumerate(COUNTS) if not masked or SLOTS_OF[w].any()]
        sum((one.square().sum() + two.pow(3).sum() for one, two in people), torch.zeros(())).backward()
        assert query.grad is not None
        assert bias.grad is not None
        found.append([*(each for pair in people for each in pair), query.grad, bias.grad])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("masked", [True, False])
def test_what_a_window_gives_depends_on_no_other(masked: bool) -> None:
    look, query = look_of(masked=masked, dropped=False), asked()[0].float()
    together = sum_rows(query, None, look)
    for window, count in enumerate(COUNTS):
        here = slice(window, window + 1)
        one = replace(
            look.window, mask=look.window.mask[here], slots=SLOTS_OF[here],
            placed=replace(look.window.placed, rows=look.window.placed.rows[here]),  # type: ignore[type-var,union-attr]
        )  # fmt: skip
        valid = None if look.valid_WL is None else look.valid_WL[here]
        found = sum_rows(query[here, :count], None, replace(look, window=one, valid_WL=valid, counts=[count]))
        for whole, single in zip(together, found, strict=True):
            assert torch.equal(whole[here, :count], single)


def test_rows_are_read_a_few_at_a_time_and_none_is_kept_for_the_gradient(monkeypatch) -> None:
    monkeypatch.setattr(window_blocks, "CPU_BYTES", 2 * SLOTS * CHANNELS * 4)
    look = look_of(masked=False, alone=False)
    blocks = list(window_blocks.Blocks(look, torch.float32))
    assert [(each.windows, each.persons) for each in blocks] == [(slice(0, 2), 2), (slice(2, 4), 3)]
    kept: list[tuple[int, ...]] = []
    query = asked()[0].float().requires_grad_()

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        sum_rows(query, None, look)
    assert (WINDOWS, PERSONS, SLOTS) in kept
    assert not [shape for shape in kept if shape[-2:] == (SLOTS, CHANNELS)]


def test_rows_that_need_a_gradient_get_one() -> None:
    look = look_of(masked=True, standardised=False, placed=False, dropped=False)
    rows = look.window.whole(torch.float64).requires_grad_()
    given = replace(look, window=BankWindow(rows, look.window.mask, look.window.owner))
    sum_rows(asked()[0], None, given)[0][0].sum().backward()
    assert rows.grad is not None
    assert rows.grad[0].abs().sum() > 0
    assert not rows.grad[1:].any()

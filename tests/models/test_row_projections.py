"""Rows that are projected once for many windows."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.models import row_projections
from pipeline.models.context import BankWindow, KeptRows, Placed
from pipeline.models.row_projections import project_windows

CHANNELS, LATENT = 5, 3
SLOTS = torch.tensor([[1, 2, 0, 3], [2, 0, 3, 4], [0, 0, 0, 0], [7, 3, 0, 2]])


def window_of(*, numbered: bool = True, copied: bool = False, placed: bool = False) -> BankWindow:
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(9, CHANNELS, generator=draw).half()
    table[0] = 0
    mean, std = torch.randn(CHANNELS, generator=draw), torch.rand(CHANNELS, generator=draw) + 0.5
    rows = Placed(slice(1, 2), torch.randn(4, 1, CHANNELS, generator=draw)) if placed else None
    mask = SLOTS != 0
    if placed:
        mask[:, 1] = torch.tensor([True, True, False, True])
    stored, slots = (table[SLOTS], None) if copied else (table, SLOTS)
    numbers = SLOTS if copied and numbered else None
    return BankWindow(stored, mask, torch.arange(4), slots, mean, std, placed=rows, copied=numbers)


def project_of() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(CHANNELS, LATENT)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows that are projected by each call."""
    found: list[int] = []
    project = row_projections._project

    def count(rows: Tensor, layer: nn.Linear) -> Tensor:
        found.append(len(rows))
        return project(rows, layer)

    monkeypatch.setattr(row_projections, "_project", count)
    return found


@torch.no_grad()
@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("copied", [True, False])
def test_windows_hold_projected_rows_and_zeros(copied: bool, placed: bool) -> None:
    window, project = window_of(copied=copied, placed=placed), project_of()
    expected = nn.functional.linear(window.whole(torch.float32), project.weight)
    found = project_windows(window, project, KeptRows())
    torch.testing.assert_close(found.whole(torch.float32), expected)
    assert torch.equal(found.mask, window.mask)
    assert torch.equal(found.owner, window.owner)


@torch.no_grad()
def test_a_row_of_the_last_two_calls_is_projected_once_and_depends_on_no_other(monkeypatch) -> None:
    window, project, kept, calls = window_of(), project_of(), KeptRows(), counted(monkeypatch)
    together = project_windows(window, project, KeptRows()).rows
    assert calls == [5]
    calls.clear()

    def part(first: int, last: int) -> BankWindow:
        here = slice(first, last)
        return replace(window, mask=window.mask[here], owner=torch.arange(last - first), slots=SLOTS[here])

    for first, last in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 1)):
        assert torch.equal(project_windows(part(first, last), project, kept).rows, together[first:last])
    assert calls == [3, 1, 1, 1], "row 1 was dropped two calls after its window"


@torch.no_grad()
def test_copied_rows_have_the_same_bytes_and_share_only_where_their_numbers_are_known(monkeypatch) -> None:
    project, calls = project_of(), counted(monkeypatch)
    expected = project_windows(window_of(), project, KeptRows()).rows
    for numbered, rows in ((True, [5]), (False, [9, 9])):
        calls.clear()
        kept, window = KeptRows(), window_of(copied=True, numbered=numbered)
        for _ in range(2):
            assert torch.equal(project_windows(window, project, kept).rows, expected)
        assert calls == rows


@torch.no_grad()
def test_each_projection_has_rows_of_its_own() -> None:
    window, kept = window_of(), KeptRows()
    for project in (project_of(), nn.Linear(CHANNELS, 4)):
        assert project_windows(window, project, kept).rows.shape == (4, 4, project.out_features)
    half = window.part(slice(2, 4))
    assert torch.equal(project_windows(half, project, kept).rows, project_windows(window, project, kept).rows[:, 2:])

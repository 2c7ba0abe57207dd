from dataclasses import replace

import pytest
import torch

from pipeline.models.context import BankWindow, Context, Placed, drop_values

ROWS, MASK = torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool)


def test_a_mask_of_other_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a window of \(2, 5, 4\) has a mask of \(2, 4\)$"):
        BankWindow(ROWS, MASK[:, :4], torch.tensor([0]))


def test_a_window_of_other_persons_is_refused() -> None:
    window = BankWindow(ROWS, MASK, torch.tensor([0, 1, 1]))
    assert Context(torch.tensor([0, 0, 1]), window).window is window
    with pytest.raises(ValueError, match=r"^a window with owner of \(3,\) stands beside clip_index of \(2,\)$"):
        Context(torch.tensor([0, 1]), window)


def test_all_of_a_window_goes_to_a_device() -> None:
    moved = BankWindow(ROWS, MASK, torch.tensor([0])).to(torch.device("meta"))
    assert {each.device.type for each in (moved.rows, moved.mask, moved.owner)} == {"meta"}


def test_numbers_of_rows_in_a_table_are_the_same_windows_as_a_copy() -> None:
    table = torch.randn(6, 4).half()
    table[0] = 0
    slots = torch.tensor([[1, 0, 5, 3, 0], [2, 2, 0, 0, 4]])
    mean, std, owner = torch.randn(4), torch.rand(4) + 0.5, torch.tensor([1])
    numbers = BankWindow(table, slots != 0, owner, slots, mean, std)
    copied = BankWindow(table[slots], slots != 0, owner, None, mean, std)
    expected = ((table.float() - mean) / std)[slots].masked_fill((slots == 0)[:, :, None], 0)
    assert torch.equal(numbers.whole(torch.float32), expected)
    assert torch.equal(copied.rows, expected)
    assert torch.equal(replace(numbers, mean=None, std=None).rows, table[slots])
    for window in (numbers, copied):
        assert torch.equal(window.part(slice(1, 4)).whole(torch.float32), expected[:, 1:4])
        placed = replace(window, placed=Placed(slice(2, 3), torch.ones(2, 1, 4))).whole(torch.float32)
        assert placed[:, 2].unique().tolist() == [1]
        assert torch.equal(placed[:, [0, 1, 3, 4]], expected[:, [0, 1, 3, 4]])
    moved = numbers.to(torch.device("meta"))
    assert {each.device.type for each in (moved.stored, moved.slots, moved.mean)} == {"meta"}  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"^a window of \(2, 5\) has a mask of \(2, 4\)$"):
        BankWindow(table, MASK[:, :4], owner, slots)


def test_a_share_of_the_values_is_dropped_and_the_rest_divided_by_what_stays() -> None:
    torch.manual_seed(0)
    window = BankWindow(torch.ones(2, 200, 50), torch.arange(200) < torch.tensor([[200], [100]]), torch.tensor([0]))
    rows = drop_values(window, 0.3).rows[window.mask]
    assert rows.unique().tolist() == [0, pytest.approx(1 / 0.7)]
    assert (rows == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    again = drop_values(window, 0.3).rows[window.mask]
    assert not torch.equal(rows, again)
    half = drop_values(window, 0.3)
    assert torch.equal(half.part(slice(50, 120)).rows, half.rows[:, 50:120])

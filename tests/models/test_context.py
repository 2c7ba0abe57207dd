import pytest
import torch

from pipeline.models.context import BankWindow, Context

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

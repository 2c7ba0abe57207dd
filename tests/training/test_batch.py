import torch

from pipeline.models.context import BankWindow
from pipeline.training.batch import Batch

LABELS, CLIPS = torch.ones(3, 2), torch.tensor([0, 0, 1])


def test_all_that_is_there_goes_to_the_device() -> None:
    window = BankWindow(torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool), CLIPS)
    moved = Batch(LABELS, CLIPS, rows=torch.zeros(3, 6), window=window).to(torch.device("meta"))
    assert moved.rows is not None
    assert moved.window is not None
    tensors = (moved.labels, moved.clip_index, moved.rows, moved.window.rows, moved.window.mask, moved.window.owner)
    assert {each.device.type for each in tensors} == {"meta"}
    assert (moved.rows.shape, moved.window.rows.shape) == ((3, 6), (2, 5, 4))


def test_what_is_absent_stays_absent() -> None:
    moved = Batch(LABELS, CLIPS).to(torch.device("meta"))
    assert (moved.clips, moved.boxes_xyxy, moved.rows, moved.window) == (None, None, None, None)

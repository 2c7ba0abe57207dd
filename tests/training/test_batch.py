import torch

from pipeline.models.context import BankWindow
from pipeline.models.settings import LabelGroup, Labels
from pipeline.training.batch import Batch, rows_of_batch

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


def test_rows_with_a_label_are_counted_only_for_labels_in_groups() -> None:
    labels = torch.tensor([[0.0, 1], [0, 0], [1, 1]])
    count = rows_of_batch(Labels("grouped", groups=(LabelGroup(classes=2, kind="sigmoid"),)))
    assert count is not None
    assert count(Batch(labels, CLIPS)) == 2
    assert count(Batch(labels[:0], CLIPS[:0])) == 0
    assert rows_of_batch(Labels()) is rows_of_batch(Labels("single")) is None

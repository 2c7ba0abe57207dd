"""A standardised head is given the statistics of the rows that are trained on, and of no others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.lfb_pool import lfb_max
from pipeline.models.standardise import Standardise, StandardisedHead
from pipeline.training.statistics import fit_statistics
from tests.bank.banks import write_small_bank

ROWS = [torch.tensor([[1.0, 10.0], [3.0, 30.0]]), torch.tensor([[5.0, 50.0]])]


def head(*, roi: bool = True, bank: bool = True) -> StandardisedHead:
    neutral = [Standardise(torch.zeros(2), torch.ones(2)) if each else None for each in (roi, bank)]
    plain = lfb_max(HeadSettings(roi_channels=2, bank_channels=2, classes=3))
    return StandardisedHead(plain, roi=neutral[0], bank=neutral[1])


def means(found: StandardisedHead) -> list[list[float] | None]:
    return [None if each is None else each.mean.tolist() for each in (found.roi, found.bank)]


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Films a (rows 2 and 4), b (8) and c (1000); the second row of a has a score of 0.6, the others 0.9."""
    values = {"a": [2.0, 4.0], "b": [8.0], "c": [1000.0]}
    parts = {
        name: FeatureRows(
            np.array(each)[:, None] * np.ones(2), np.arange(float(len(each))), np.zeros((len(each), 4)),
            np.array([0.9, 0.6][: len(each)]),
        )
        for name, each in values.items()
    }  # fmt: skip
    return open_bank(write_small_bank(tmp_path / "train.zarr", parts))


def test_persons_and_windows_have_statistics_of_their_own(bank: Bank) -> None:
    made = head()
    fit_statistics(made, rows=ROWS, bank=bank, score=0.5, films={"a", "b"})
    assert means(made) == [[3.0, 30.0], pytest.approx([14 / 3] * 2)]
    assert made.roi is not None
    assert made.roi.std.tolist() == pytest.approx([(8 / 3) ** 0.5, 10 * (8 / 3) ** 0.5])


def test_rows_that_windows_do_not_read_do_not_count(bank: Bank) -> None:
    made = head()
    fit_statistics(made, rows=ROWS, bank=bank, score=0.7, films=["a", "b"])
    assert means(made)[1] == [5.0, 5.0]
    fit_statistics(made, rows=ROWS, bank=bank, score=0.7, films=["b"])
    assert means(made)[1] == [8.0, 8.0]


def test_in_scope_all_and_without_a_bank_what_is_not_there_is_left(bank: Bank) -> None:
    of_all = head(roi=False)
    fit_statistics(of_all, rows=None, bank=bank, score=0.5, films=["b"])
    assert means(of_all) == [None, [8.0, 8.0]]
    of_features = head(bank=False)
    fit_statistics(of_features, rows=ROWS, bank=None, score=0.0, films=["a"])
    assert means(of_features) == [[3.0, 30.0], None]


def test_other_heads_read_nothing() -> None:
    plain = head().head
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    fit_statistics(plain, rows=iter(lambda: pytest.fail("read"), None), bank=None, score=0.0, films=[])
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())

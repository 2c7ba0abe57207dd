"""Which rows stand at which second, and which banks can be read as one."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.windows.seconds import (
    MAX_TIMESTAMP,
    SecondIndex,
    check_keyframes,
    features_of,
    index_rows,
    video_key,
)
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.errors import InputError
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank

KINDS = (ResidentWindows, StreamedWindows)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.dictionaries(st.integers(-5, 12), st.integers(1, 4), max_size=8),
    first=st.lists(st.integers(-8, 15), max_size=4),
    length=st.integers(1, 6),
)
def test_an_index_finds_the_rows_of_each_second(counts: dict[int, int], first: list[int], length: int) -> None:
    keys = sorted(counts)
    sizes = np.array([counts[key] for key in keys], np.int64)
    begins = dict(zip(keys, (np.cumsum(sizes) - sizes).tolist(), strict=True))
    index = SecondIndex(np.array(keys, np.int64), np.cumsum(sizes) - sizes, sizes)
    starts, found = index.find(np.array(first, np.int64), length)
    stretches = [range(each, each + length) for each in first]
    assert found.tolist() == [[counts.get(key, 0) for key in each] for each in stretches]
    assert starts.tolist() == [[begins.get(key, 0) for key in each] for each in stretches]


def test_rows_are_ordered_by_second_and_score(tmp_path: Path) -> None:
    timestamp, score = np.array([0.25, 0.75, 2.0, -0.5]), np.array([0.6, 0.9, 0.7, 0.8])
    stored = FeatureRows(np.arange(16.0).reshape(4, 4), timestamp, np.zeros((4, 4)), score)
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": stored}))
    rows, index = index_rows(bank, "v", 0.65)
    assert index.keys.tolist() == [-1, 0, 2]
    assert index.counts.tolist() == [1, 1, 1]
    assert features_of(bank, "v", rows)[:, 0].tolist() == [12, 4, 8]
    rows, index = index_rows(bank, "v", 0.5)  # the bank's own threshold: all
    assert index.counts.tolist() == [1, 2, 1]
    assert features_of(bank, "v", rows)[:, 0].tolist() == [12, 4, 0, 8], "the best of a second stands first"


def test_features_that_stand_together_are_no_copy(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": make_rows({0.0: 5})}))
    whole = bank.column("v", "detections", "features")
    assert whole is not None
    for rows, is_view in (([1, 2, 3], True), ([1, 3], False), ([3, 2], False), ([], False)):
        found = features_of(bank, "v", np.array(rows, np.int64))
        np.testing.assert_array_equal(found, whole[rows])
        assert (found.base is not None) == is_view


def test_keys_sort_by_video_and_then_by_second() -> None:
    seconds = np.array([-int(MAX_TIMESTAMP) + 1, -1, 0, 5, int(MAX_TIMESTAMP) - 1])
    keys = [key for video in (0, 1, 2) for key in video_key(video, seconds).tolist()]
    assert keys == sorted(set(keys))
    assert video_key(np.array([0, 2]), np.array([5, 5])).tolist() == [keys[3], keys[13]]
    assert max(video_key(-1, seconds)) < keys[0], "a video that is in no bank"


def test_keyframes_have_one_finite_timestamp_each() -> None:
    assert check_keyframes(["a", "b"], [1, 2.5]).dtype == np.float64
    for times in ([1.0], [1.0, np.nan], [1.0, MAX_TIMESTAMP]):
        with pytest.raises(ValueError, match=r"^2 video ids and timestamps .*: expected one finite timestamp each$"):
            check_keyframes(["a", "b"], times)


def test_banks_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    rows = {"v": make_rows({0.0: 2})}
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", rows))
    fp32 = open_bank(write_small_bank(tmp_path / "b.zarr", {"w": rows["v"]}, dtype="fp32"))
    wide = open_bank(write_small_bank(tmp_path / "c.zarr", {"w": make_rows({0.0: 2}, channels=6)}))
    bare_rows = FeatureRows(np.ones((1, 4)), np.zeros(1), np.zeros((1, 4)))
    bare = open_bank(write_small_bank(tmp_path / "d.zarr", {"v": bare_rows}))
    far_rows = FeatureRows(np.ones((1, 4)), np.array([2.0**40]), np.zeros((1, 4)), np.ones(1))
    far = open_bank(write_small_bank(tmp_path / "e.zarr", {"v": far_rows}))
    for banks, score, message in (
        ([bank], 0.4, f"{bank.where}: holds boxes from score 0.5 on, a window cannot read from 0.4 on"),
        ([bank, fp32], 0.5, f"{bank.where} has dtype float16 and {fp32.where} float32, expected the same"),
        ([bank, wide], 0.5, f"{bank.where} has channels 4 and {wide.where} 6, expected the same"),
        (
            [bare],
            0.6,
            f"{bare.where}: part 'v' has no scores and was made with bank.box_threshold 0.5, so its rows cannot be cut",
        ),
        ([far], 0.5, f"{far.where}: part 'v' has timestamp 1.09951e+12, expected less than 2.74878e+11"),
    ):
        with pytest.raises(InputError, match="^" + re.escape(message)):
            ResidentWindows(banks, min_score=score)
    # Without scores the stored order counts, at the stored threshold.
    windows = ResidentWindows([bare], min_score=0.5)
    assert windows.slots(["v"], [0.0], seconds=1, per_second=2).tolist() == [[1, 0]]


def test_a_score_of_the_threshold_is_read(tmp_path: Path) -> None:
    """0.9 is stored as float32 0.89999998 and still reaches a threshold of 0.9."""
    rows = FeatureRows(np.ones((2, 4)), np.zeros(2), np.zeros((2, 4)), np.array([0.9, 0.8]))
    bank = open_bank(write_small_bank(tmp_path / "a.zarr", {"v": rows}))
    assert ResidentWindows([bank], min_score=0.9).slots(["v"], [0.0], seconds=1, per_second=2).tolist() == [[1, 0]]


def test_at_its_own_threshold_every_row_of_a_bank_is_read(tmp_path: Path) -> None:
    """A bank may hold the best box of a second below the threshold; verify knows."""
    rows = FeatureRows(np.ones((3, 4)), np.array([0.0, 0, 1]), np.zeros((3, 4)), np.array([0.97, 0.92, 0.4]))
    lowered = {**PROVENANCE, "box_threshold": 0.9, "lower_threshold": True}
    path = write_small_bank(tmp_path / "a.zarr", {"v": rows}, provenance=lowered)
    for kind in KINDS:
        for score, expected in ((0.9, [[1, 2, 3, 0]]), (0.95, [[1, 0, 0, 0]])):
            windows = kind([open_bank(path)], min_score=score)
            assert windows.slots(["v"], [1.0], seconds=2, per_second=2).tolist() == expected
    assert verify_bank(path) == []
    strict = write_small_bank(tmp_path / "b.zarr", {"v": rows}, provenance={**lowered, "lower_threshold": False})
    assert [each.found for each in verify_bank(strict)] == ["0.4 in row 2"]

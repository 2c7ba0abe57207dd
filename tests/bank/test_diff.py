from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank import diff
from pipeline.bank.diff import RowSetDifference, diff_banks, diff_rows, match_rows
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank

ROWS = {"a": make_rows({0.0: 3, 2.0: 90}), "b": make_rows({}), "c": make_rows({1.0: 4, 1.5: 2}, seed=3)}


def bank(path: Path, rows: dict[str, FeatureRows] = ROWS, **changes: object) -> Bank:
    return open_bank(write_small_bank(path, rows, **changes))  # type: ignore[arg-type]


def rows_of(features: object, boxes: object = None, timestamp: object = None) -> FeatureRows:
    values = np.asarray(features, np.float64)
    n = len(values)
    xyxy = np.full((n, 4), np.nan) if boxes is None else np.repeat(np.asarray(boxes, np.float64)[:, None], 4, axis=1)
    return FeatureRows(values, np.zeros(n) if timestamp is None else np.asarray(timestamp, np.float64), xyxy)


def test_a_bank_is_the_same_as_itself(tmp_path: Path) -> None:
    one = bank(tmp_path / "a.zarr")
    found = diff_banks(one, one)
    assert found.same
    assert found.settings == {}
    both = found.row_sets["detections"]
    assert both == RowSetDifference(matched=99, compared=99 * 4, max_column={"score": 0.0})


def test_fp16_against_fp32_by_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "CHUNK_ROWS", 7)
    half, single = bank(tmp_path / "a.zarr"), bank(tmp_path / "b.zarr", dtype="fp32")
    found = diff_banks(half, single)
    assert not found.same
    assert found.settings == {"dtype": ["float16", "float32"]}
    ours, theirs = (
        np.concatenate([each.rows(video, "detections").features for video in each.videos]).astype(np.float64)
        for each in (half, single)
    )
    gap = np.abs(ours - theirs)
    ratio = gap / np.maximum(np.abs(ours), np.abs(theirs))
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    both = found.row_sets["detections"]
    assert (both.matched, both.unmatched, both.matched_by_order) == (99, 0, 0)
    assert both.differing == np.count_nonzero(gap.any(axis=1))
    assert both.max_absolute == gap.max()
    assert both.max_relative == ratio.max() < 2**-11
    assert both.least_cosine == pytest.approx(cosine.min(), abs=1e-12)
    values = both.to_json()
    assert values["mean_absolute"] == pytest.approx(gap.mean())
    assert values["mean_relative"] == pytest.approx(ratio.mean())


def test_rows_that_one_bank_lacks_and_a_box_moved_by_the_last_bit(tmp_path: Path) -> None:
    rows = ROWS["c"]
    boxes = rows.boxes_xyxy.copy()
    boxes[1, 2] = np.nextafter(boxes[1, 2], 2)
    moved = replace(rows, boxes_xyxy=boxes)
    fewer = moved.take(np.arange(len(rows)) != 4)
    found = diff_banks(bank(tmp_path / "a.zarr"), bank(tmp_path / "b.zarr", {**ROWS, "c": fewer}))
    both = found.row_sets["detections"]
    assert (both.matched, both.only_in_a, both.only_in_b, both.differing) == (97, 2, 1, 0)
    assert both.worst_video == "c"
    assert not found.same


def test_videos_and_row_sets_that_one_bank_lacks(tmp_path: Path) -> None:
    one = bank(tmp_path / "a.zarr", {"a": ROWS["a"], "b": ROWS["b"]})
    other = bank(tmp_path / "b.zarr", {"b": ROWS["b"], "c": ROWS["c"]}, ground_truth=None)
    found = diff_banks(one, other)
    assert (found.videos_only_in_a, found.videos_only_in_b) == (["a"], ["c"])
    assert found.row_sets["ground_truth"].only_in_a == 2
    assert not found.same
    assert not diff_banks(one, other, ["detections"]).same
    bare = bank(tmp_path / "c.zarr", {"a": ROWS["a"], "b": ROWS["b"]}, ground_truth=None)
    assert not diff_banks(one, bare).same
    assert diff_banks(one, bare, ["detections"]).same


def test_settings_and_provenance_that_differ(tmp_path: Path) -> None:
    one = bank(tmp_path / "a.zarr")
    changed = {**PROVENANCE, "box_threshold": 0.4, "frames_sha256": "0" * 64, "extra": 1}
    other = bank(tmp_path / "b.zarr", split="val", provenance=changed, codec="zstd")
    found = diff_banks(one, other)
    assert found.same
    assert found.settings == {
        "box_threshold": [0.5, 0.4],
        "codec": ["none", "zstd"],
        "extra": [None, 1],
        "frames_sha256": ["f" * 64, "0" * 64],
        "split": ["train", "val"],
    }


def test_the_worst_video_is_that_with_the_largest_difference(tmp_path: Path) -> None:
    rows = {name: make_rows({0.0: 3}, seed=seed) for seed, name in enumerate("abcd")}
    moved = {
        name: replace(each, features=each.features + {"b": 0.5, "c": 4, "d": 1}.get(name, 0))
        for name, each in rows.items()
    }
    found = diff_banks(bank(tmp_path / "a.zarr", rows), bank(tmp_path / "b.zarr", moved)).row_sets["detections"]
    assert (found.worst_video, found.differing) == ("c", 9)


def test_scores_and_tracks_that_differ_make_a_row_differ() -> None:
    rows = make_rows({0.0: 3, 1.0: 1}, tracked=True)
    assert rows.score is not None
    assert rows.track_id is not None
    score = rows.score.copy()
    score[2] += 0.25
    found = diff_rows(rows, replace(rows, score=score, track_id=rows.track_id + 3))
    assert found.differing == 4
    assert found.max_absolute == 0
    assert found.max_column == {"score": pytest.approx(0.25), "track_id": 3}
    assert diff_rows(rows, replace(rows, score=None, track_id=None)).differing == 0


def test_cosine_and_relative_difference_of_opposite_and_of_zero_rows() -> None:
    one = rows_of([[1, 0], [0, 0], [0, 0], [1, 1]], [0.1, 0.2, 0.3, 0.4])
    assert diff_rows(one, rows_of([[-1, 0], [0, 0], [0, 2], [1, 1]], [0.1, 0.2, 0.3, 0.4])) == RowSetDifference(
        matched=4, differing=2, compared=8, max_absolute=2, sum_absolute=4, max_relative=2, sum_relative=3,
        least_cosine=-1,
    )  # fmt: skip
    assert diff_rows(one, rows_of([[1, 0], [0, 0], [0, 2], [1, 1]], [0.1, 0.2, 0.3, 0.4])).least_cosine == 0


def test_without_boxes_rows_are_matched_by_order_within_the_second() -> None:
    one = rows_of([[1], [2], [3], [4]], [0.4, 0.3, 0.2, 0.1], timestamp=[0, 0.5, 1, 2])
    found = diff_rows(one, rows_of([[1], [2], [9], [3]], timestamp=[0, 0, 0, 1]))
    assert (found.matched, found.matched_by_order, found.only_in_a, found.only_in_b) == (3, 3, 1, 1)
    assert found.differing == 0


def test_equal_boxes_are_matched_one_by_one() -> None:
    one = rows_of([[1], [2], [3]], [0.5, 0.5, 0.5])
    found = diff_rows(one, rows_of([[1], [5]], [0.5, 0.5]))
    assert (found.matched, found.only_in_a, found.only_in_b) == (2, 1, 0)
    assert (found.differing, found.max_absolute) == (1, 3)


def test_features_of_other_channels_are_not_compared() -> None:
    found = diff_rows(rows_of([[1, 2]], [0.5]), rows_of([[1]], [0.5]))
    assert (found.matched, found.differing, found.compared) == (1, 1, 0)
    assert found.to_json()["mean_absolute"] is None


KEYS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.1, 0.2])), max_size=12)


@settings(deadline=None)
@given(first=KEYS, second=KEYS, by_order=st.booleans())
def test_every_row_is_matched_at_most_once_and_with_its_like(first: list, second: list, by_order: bool) -> None:
    ours, theirs = (
        rows_of(np.zeros((len(keys), 1)), [key[1] for key in keys], [key[0] for key in keys])
        for keys in (first, second)
    )
    at_a, at_b = match_rows(ours, theirs, by_order=by_order)
    same = [(int(key[0]) if by_order else key) for key in first], [(int(key[0]) if by_order else key) for key in second]
    assert len(set(at_a.tolist())) == len(at_a)
    assert [same[0][i] for i in at_a] == [same[1][i] for i in at_b]
    assert len(at_a) == (Counter(same[0]) & Counter(same[1])).total()

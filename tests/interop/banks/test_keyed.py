from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.banks.caffe2 import read_caffe2
from pipeline.interop.banks.exchange import Keys
from pipeline.interop.banks.keyed import EXPECTED, parse_keyed
from tests.interop.banks.files import check_features, taken_in
from tests.interop.banks.test_caffe2 import ids, save


def test_axes_that_convolutions_leave_are_dropped(tmp_path: Path) -> None:
    value = {"v": {1: [np.ones((4, 1, 1, 1))], 2: np.ones((3, 4, 1, 1)), 3: np.ones((1, 4, 1, 1, 1))}}
    bank, _ = taken_in(save(tmp_path / "x.pkl", value), tmp_path / "x.zarr")
    check_features(bank, {"v": {1: np.ones((1, 4)), 2: np.ones((3, 4)), 3: np.ones((1, 4))}})


def test_a_list_of_videos_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    names = ids(tmp_path / "videos.txt", "a", "b")
    path = save(tmp_path / "x.pkl", {2: {1: [np.ones(4)]}})
    with pytest.raises(InputError) as error:
        taken_in(path, tmp_path / "x.zarr", keys=Keys(videos=names))
    assert str(error.value) == f"{path}: video 2, expected a position in the list of 2 videos"
    named = save(tmp_path / "y.pkl", {"a": {1: [np.ones(4)]}})
    with pytest.raises(InputError, match="video 'a', expected a position in the list of 2 videos"):
        taken_in(named, tmp_path / "x.zarr", keys=Keys(videos=names))


def test_contents_that_are_no_features_are_said(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pkl", {"v": {1: [b"abc"]}})
    with pytest.raises(InputError) as error:
        read_caffe2(path)
    assert str(error.value) == (
        f"{path}: video 'v', second 1: holds a bytes, expected a list of arrays (C,), or one array (C,) or (n, C)"
    )


def array_of(leaf: object) -> np.ndarray | None:
    return leaf if isinstance(leaf, np.ndarray) else None


ONE = np.ones(3, np.float32)
REFUSED: list[tuple[object, str]] = [
    ([], "x: holds a list, expected a dictionary of videos"),
    ({"a": [ONE]}, "x: video 'a': holds a list, expected a dictionary of seconds"),
    ({"1": {}, 1: {}}, "x: video '1' stands in it twice, as a number and as text"),
    ({1.5: {}}, "x: a video is named by a float, expected text or a whole number"),
    ({"a": {"1": [ONE]}}, "x: video 'a': a second is '1', expected a number"),
    ({"a": {np.nan: [ONE]}}, "x: video 'a': a second is nan, expected a number"),
    ({"a": {1: ["word"]}}, f"x: video 'a', second 1: holds a str, expected {EXPECTED}"),
    ({"a": {1: [np.ones(3, np.int64)]}}, f"x: video 'a', second 1: holds an array of int64, expected {EXPECTED}"),
    (
        {"a": {1: np.ones((2, 3, 4), np.float32)}},
        f"x: video 'a', second 1: holds features of shape (2, 3, 4), expected {EXPECTED}",
    ),
    ({"a": {1: [ONE]}, "b": {2: [np.ones(4, np.float32)]}},
     "x: video 'b', second 2: has features of 4 channels, those before it have 3"),
    ({"a": {1: []}}, "x: holds 1 videos without any feature, expected one at least"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_value_that_is_no_bank_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_keyed(Path("x"), value, "a bank", array_of)
    assert str(error.value) == message


def test_seconds_are_counted_in_frames_where_a_rate_is_told_and_the_empty_ones_are_kept() -> None:
    value = {"b": {30: [ONE, 2 * ONE], 15: np.zeros((0, 3), np.float32)}, "a": {45: ONE[None, :, None]}}
    found = parse_keyed(Path("x"), value, "a bank", array_of, fps=30)
    assert (found.videos, found.dtype) == (("a", "b"), "fp32")
    rows, seen = found.read("b")
    assert (rows.timestamp.tolist(), seen.tolist()) == ([1.0, 1.0], [0.5, 1.0])
    assert rows.features.tolist() == [[1, 1, 1], [2, 2, 2]]
    assert found.read("a")[0].timestamp.tolist() == [1.5]

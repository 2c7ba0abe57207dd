from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.interop.banks.caffe2 import read_caffe2
from pipeline.interop.banks.exchange import Keys
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

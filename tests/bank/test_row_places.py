"""Places of rows at keyframes; features are read when they are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.row_places import CHUNK_ROWS, StoredFeatures, boxed_rows_at, rows_at
from pipeline.base.errors import InputError
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, KeyframeSet, pack_keyframes
from tests.bank.banks import write_small_bank

BOX = np.array([0.1, 0.2, 0.5, 0.9])
TIMES = {"a": [0.0, 0.0, 1.0, 3.0], "b": [1.0, 1.0]}
AT = [("a", 0.0), ("a", 2.0), ("a", 3.0), ("absent", 0.0), ("b", 1.0)]


def stored(first: float, times: list[float], *, boxed: bool = True) -> FeatureRows:
    n = len(times)
    boxes = np.tile(BOX if boxed else np.full(4, np.nan), (n, 1))
    values = (first + np.arange(n))[:, None] * np.ones(2)
    return FeatureRows(values, np.array(times), boxes, np.linspace(0.9, 0.6, n))


def bank_of(path: Path, *, codec: str = "none", boxed: bool = True) -> Bank:
    parts = {name: stored(10.0 * number, TIMES[name], boxed=boxed) for number, name in enumerate("ab")}
    return open_bank(write_small_bank(path, parts, codec=codec, ground_truth=stored(50, [1.0])))


@pytest.fixture(scope="module")
def bank(scratch: Path) -> Bank:
    return bank_of(scratch / "plain.zarr")


def keyframes(*at: tuple[str, float]) -> KeyframeSet:
    nobody = (np.empty((0, 4)), np.empty((0, 3), bool), np.empty((0, 4)), np.empty(0))
    return pack_keyframes([KeyframeBoxes(Keyframe(video, time, time), *nobody) for video, time in at])


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_each_keyframe_has_the_rows_of_its_moment_in_the_stored_order(tmp_path: Path, codec: str) -> None:
    bank = bank_of(tmp_path / "a.zarr", codec=codec)
    places = rows_at(bank, keyframes(*AT), "detections")
    assert places.keyframe.tolist() == [0, 0, 2, 4, 4]
    assert places.row.tolist() == [0, 1, 3, 0, 1]
    assert places.sources == [("a", "detections"), ("b", "detections")]
    assert places.score is not None
    np.testing.assert_array_equal(places.score, np.array([0.9, 0.8, 0.6, 0.9, 0.6], np.float32))
    features = StoredFeatures(bank, places)
    assert (features.shape, str(features.dtype), len(features)) == ((5, 2), "float16", 5)
    assert features.take(np.array([4, 0, 2, 4]))[:, 0].tolist() == [11, 0, 3, 11]
    assert features.take(np.array([], np.int64)).shape == (0, 2)
    assert torch.equal(torch.cat(list(features.chunks())), features.take(np.arange(5)))


def test_rows_are_read_some_thousand_at_a_time(bank: Bank) -> None:
    places = rows_at(bank, keyframes(*AT), "detections").take(np.arange(CHUNK_ROWS + 3) % 5)
    chunks = list(StoredFeatures(bank, places).chunks())
    assert [len(each) for each in chunks] == [CHUNK_ROWS, 3]
    assert chunks[1][:, 0].tolist() == [[0, 1, 3, 10, 11][(CHUNK_ROWS + each) % 5] for each in range(3)]


def test_rows_of_two_sets_are_joined_by_keyframe_the_first_ones_first(bank: Bank) -> None:
    at = keyframes(("a", 1.0), ("b", 1.0))
    both, order = rows_at(bank, at, "ground_truth").join(rows_at(bank, at, "detections"))
    assert both.keyframe.tolist() == [0, 0, 1, 1, 1]
    assert order.tolist() == [0, 2, 1, 3, 4]
    assert both.score is None
    assert StoredFeatures(bank, both).take(np.arange(5))[:, 0].tolist() == [50, 2, 50, 10, 11]


def test_no_keyframe_and_no_known_film_have_no_rows(bank: Bank) -> None:
    for given in (keyframes(), keyframes(("absent", 0.0))):
        places = rows_at(bank, given, "detections")
        assert (len(places.row), places.boxes_xyxy.shape, list(places.sources)) == (0, (0, 4), [])


def test_who_needs_boxes_is_told_that_a_bank_has_none(tmp_path: Path) -> None:
    bank = bank_of(tmp_path / "a.zarr", boxed=False)
    assert np.isnan(rows_at(bank, keyframes(*AT), "detections").boxes_xyxy).all()
    with pytest.raises(InputError) as error:
        boxed_rows_at(bank, keyframes(*AT), "detections")
    assert str(error.value) == (
        f"{bank.where}: detections of video 'a' have no boxes: windows can read them, but a head can be neither "
        "trained on them nor scored"
    )
    assert boxed_rows_at(bank, keyframes(("a", 1.0)), "ground_truth").boxes_xyxy.tolist() == [BOX.tolist()]

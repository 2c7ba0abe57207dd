import os
import pickle
import pickletools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.diff import diff_banks
from pipeline.base.errors import InputError
from pipeline.interop.banks.exchange import Keys
from tests.interop.banks.files import FEATURES, check_features, small_bank, taken_in, vectors, written


def save(path: Path, value: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def ids(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_ava_lists_of_vectors_by_the_number_of_the_video(tmp_path: Path, protocol: int) -> None:
    value = {
        index: {np.int64(at): list(each) for at, each in FEATURES[video].items()}
        for index, video in enumerate(["film", "other film"])
    }
    path = save(tmp_path / "train_lfb.pkl", value, protocol)
    names = ids(tmp_path / "videos.txt", "film", "other film", "without persons")
    bank, notes = taken_in(path, tmp_path / "x.zarr", keys=Keys(videos=names), provenance={"box_threshold": 0.9})
    check_features(bank, FEATURES)
    assert str(bank.dtype) == "float32"
    assert notes == ["read as a bank of the Caffe2 LFB"]
    numbered, _ = taken_in(path, tmp_path / "y.zarr")
    check_features(numbered, {"0": FEATURES["film"], "1": FEATURES["other film"]})


def test_epic_verbs_one_vector_for_a_frame(tmp_path: Path) -> None:
    frames = {30 * second: vectors("P01", second, 1)[0] for second in (0, 1, 7)}
    bank, _ = taken_in(save(tmp_path / "x.pkl", {"P01_01": frames}), tmp_path / "x.zarr", keys=Keys(fps=30))
    check_features(bank, {"P01_01": {second: vectors("P01", second, 1) for second in (0, 1, 7)}})


def test_epic_nouns_an_array_or_an_empty_list_for_a_frame(tmp_path: Path) -> None:
    frames = {0: vectors("P", 0, 10), 30: [], 60: vectors("P", 2, 3)}
    bank, _ = taken_in(save(tmp_path / "x.pkl", {4: frames}), tmp_path / "x.zarr", keys=Keys(fps=30))
    check_features(bank, {"4": {0: vectors("P", 0, 10), 2: vectors("P", 2, 3)}})
    assert bank.timestamps_seen("4").tolist() == [0, 1, 2]


def test_charades_two_clips_a_second(tmp_path: Path) -> None:
    frames = {i: np.full(4, i, np.float32) for i in range(11, 48, 12)}
    bank, _ = taken_in(save(tmp_path / "x.pkl", {0: frames}), tmp_path / "x.zarr", keys=Keys(fps=24))
    assert bank.rows("0", "detections").timestamp.tolist() == [11 / 24, 23 / 24, 35 / 24, 47 / 24]


class Calls:
    def __reduce__(self) -> Any:
        return os.system, ("touch HERE",)


def test_a_hostile_pickle_is_refused_with_the_name_it_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "x.pkl", {0: {1: [np.ones(4), Calls()]}})
    with pytest.raises(InputError, match=r"x\.pkl: refused: the pickle names posix\.system; only NumPy arrays"):
        taken_in(path, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == [path]


def load_as_python_2_would(path: Path) -> Any:
    """Read by Python itself, NumPy's old names allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pickle.loads(path.read_bytes(), encoding="latin1")


def test_what_is_written_is_a_pickle_of_python_2(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr")
    path = tmp_path / "train_lfb.pkl"
    notes = written(bank, path, "caffe2")
    assert notes[-1] == "the provenance"
    opcodes = [(each.name, each.proto) for each, _, _ in pickletools.genops(path.read_bytes())]
    assert max(proto for _, proto in opcodes) == 2
    assert b"numpy._core" not in path.read_bytes()
    value = load_as_python_2_would(path)
    assert sorted(value) == sorted(bank.videos)
    assert list(value["a"]) == [2, 3, 1000]
    features = bank.rows("a", "detections").features
    assert [len(each) for each in value["a"].values()] == [3, 1, 70]
    np.testing.assert_array_equal(np.stack(value["a"][2]), features[:3].astype(np.float32))
    assert value["a"][2][0].dtype == np.float32
    back, _ = taken_in(path, tmp_path / "back.zarr")
    assert diff_banks(bank, back, ["detections"]).same


def test_numbers_of_videos_are_their_places_in_the_list(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr")
    names = ids(tmp_path / "videos.txt", "x", "empty", "a", "../b, ü")
    path = tmp_path / "train_lfb.pkl"
    written(bank, path, "caffe2", videos=names, dtype="fp16")
    assert set(load_as_python_2_would(path)) == {1, 2, 3}
    back, _ = taken_in(path, tmp_path / "back.zarr", keys=Keys(videos=names))
    assert diff_banks(bank, back, ["detections"]).same
    assert back.manifest.dtype == "float16"
    with pytest.raises(InputError) as error:
        written(bank, path, "caffe2", videos=ids(tmp_path / "short.txt", "empty"))
    assert str(error.value) == f"{bank.where}: video '../b, ü' is not in the list of videos, nor are 1 more"


@settings(deadline=None, max_examples=4)
@given(
    counts=st.dictionaries(st.integers(0, 50), st.dictionaries(st.integers(-3, 99), st.integers(1, 3), max_size=3)),
    lists=st.booleans(),
)
def test_round_trip(scratch: Path, counts: dict[int, dict[int, int]], lists: bool) -> None:
    counts = {**counts, 99: {0: 1}}
    features = {
        str(video): {at: vectors(str(video), at + 10, n) for at, n in each.items()} for video, each in counts.items()
    }
    value = {
        int(video): {at: list(each) if lists else each for at, each in seconds.items()}
        for video, seconds in features.items()
    }
    first, _ = taken_in(save(scratch / "x.pkl", value), scratch / "x.zarr")
    check_features(first, {video: each or {0: np.empty((0, 4))} for video, each in features.items()})
    written(first, scratch / "y.pkl", "caffe2")
    second, _ = taken_in(scratch / "y.pkl", scratch / "y.zarr")
    assert second.manifest.parts == first.manifest.parts

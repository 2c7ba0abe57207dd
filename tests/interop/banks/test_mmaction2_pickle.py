import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.bank.diff import diff_banks
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.base.errors import InputError
from pipeline.interop.banks.mmaction2_pickle import read_mmaction2
from tests.bank.banks import make_rows, write_small_bank
from tests.interop.banks.files import COUNTS, FEATURES, check_features, small_bank, taken_in, vectors, written

FORMS = ["lists", "stacked"]


def value_of(features: dict[str, dict[int, np.ndarray]], form: str, dtype: torch.dtype = torch.float16) -> Any:
    stacked = {
        video: {at: torch.from_numpy(each).to(dtype) for at, each in seconds.items()}
        for video, seconds in features.items()
    }
    if form == "stacked":
        return stacked
    return {video: {at: list(each) for at, each in seconds.items()} for video, seconds in stacked.items()}


def save(path: Path, value: Any, *, new: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_both_forms_in_both_serialisations(tmp_path: Path, form: str, new: bool, dtype: torch.dtype) -> None:
    path = save(tmp_path / "lfb_train.pkl", value_of(FEATURES, form, dtype), new=new)
    bank, notes = taken_in(path, tmp_path / "train.zarr", provenance={"box_threshold": 0.9})
    expected = {
        video: {at: torch.from_numpy(each).to(dtype).float().numpy() for at, each in seconds.items()}
        for video, seconds in FEATURES.items()
    }
    check_features(bank, expected)
    assert str(bank.dtype) == ("float16" if dtype == torch.float16 else "float32")
    assert notes == ["read as MMAction2's LFB"]
    assert bank.timestamps_seen("film").tolist() == [902, 903, 960]


def test_seconds_and_videos_without_persons_are_kept(tmp_path: Path) -> None:
    value = {"a": {1: [], 2: [torch.ones(3)]}, "b": {}, "c": {5: torch.ones(0, 3)}}
    bank, _ = taken_in(save(tmp_path / "x.pkl", value), tmp_path / "x.zarr")
    assert bank.videos == ("a", "b", "c")
    assert [bank.count("detections", video) for video in bank.videos] == [1, 0, 0]
    assert [bank.timestamps_seen(video).tolist() for video in bank.videos] == [[1, 2], [], [5]]


def test_the_published_sample(real: Path, tmp_path: Path) -> None:
    bank, _ = taken_in(real / "lfb/lfb_unittest.pkl", tmp_path / "x.zarr")
    theirs = torch.load(real / "lfb/lfb_unittest.pkl", weights_only=True)
    expected = {
        video: {at: torch.stack(each).numpy() if isinstance(each, list) else each.numpy() for at, each in rows.items()}
        for video, rows in theirs.items()
    }
    check_features(bank, expected)
    assert bank.count("detections") == sum(len(each) for rows in expected.values() for each in rows.values())


HOSTILE = {
    "posix.system": (os.system, "touch HERE"),
    "__builtin__.eval": (eval, "open('HERE', 'w')"),
}


class Calls:
    def __init__(self, function: Any, argument: str) -> None:
        self.call = (function, (argument,))

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("new", [True, False])
def test_a_hostile_file_is_refused_with_the_names_it_asked_for(
    tmp_path: Path, name: str, new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "x.pkl", {"a": {1: [torch.ones(3), Calls(*HOSTILE[name])]}}, new=new)
    with pytest.raises(InputError, match=f"refused: the pickle names {name}; only tensors, arrays"):
        taken_in(path, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == [path]


FEATURES_EXPECTED = "expected a list of arrays (C,), or one array (C,) or (n, C)"
WRONG: dict[str, tuple[Any, str]] = {
    "no dictionary": ([1], "holds a list, expected a dictionary of videos"),
    "a state dict": ({"w": torch.ones(3)}, "video 'w': holds a Tensor, expected a dictionary of seconds"),
    "a number": ({"v": {1: 3}}, f"video 'v', second 1: holds an int, {FEATURES_EXPECTED}"),
    "integers": (
        {"v": {1: torch.ones(2, 3, dtype=torch.int64)}},
        f"video 'v', second 1: holds an array of int64, {FEATURES_EXPECTED}",
    ),
    "maps": (
        {"v": {1: torch.ones(2, 3, 4)}},
        f"video 'v', second 1: holds features of shape (2, 3, 4), {FEATURES_EXPECTED}",
    ),
    "a second": ({"v": {"1": torch.ones(2, 3)}}, "video 'v': a second is '1', expected a number"),
    "no second": ({"v": {float("nan"): torch.ones(2, 3)}}, "video 'v': a second is nan, expected a number"),
    "a video": ({(1,): {}}, "a video is named by a tuple, expected text or a whole number"),
    "twice": ({1: {}, "1": {}}, "video '1' stands in it twice, as a number and as text"),
    "other channels": (
        {"v": {1: torch.ones(2, 3)}, "w": {2: [torch.ones(4)]}},
        "video 'w', second 2: has features of 4 channels, those before it have 3",
    ),
    "nothing": ({"v": {1: []}, "w": {}}, "holds 2 videos without any feature, expected one at least"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_bank_is_said(tmp_path: Path, name: str) -> None:
    value, reason = WRONG[name]
    path = save(tmp_path / "x.pkl", value)
    with pytest.raises(InputError) as error:
        read_mmaction2(path)
    assert str(error.value) == f"{path}: {reason}"


def test_objects_of_training_frameworks_are_no_features(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pkl", {"a": {1: torch.device("cpu")}})
    with pytest.raises(InputError, match="video 'a', second 1: holds an object that is not read, expected a list"):
        read_mmaction2(path)


def test_values_that_no_bank_holds_are_refused(tmp_path: Path) -> None:
    large = save(tmp_path / "large.pkl", {"a": {1: torch.full((1, 2), 1e6)}})
    with pytest.raises(
        InputError, match=r"timestamp 1, channel 0 is 1e\+06, which is too large for float16; set bank.dtype=fp32"
    ):
        taken_in(large, tmp_path / "x.zarr", dtype="fp16")
    bad = save(tmp_path / "bad.pkl", {"a": {1: torch.tensor([[1.0, float("nan")]])}})
    with pytest.raises(InputError, match="timestamp 1, channel 1 is nan, which is not finite"):
        taken_in(bad, tmp_path / "x.zarr")
    assert not list(tmp_path.glob("*zarr"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", [{}, {"codec": "zstd"}])
def test_what_is_written_is_what_upstream_loads(tmp_path: Path, form: str, changes: dict[str, Any]) -> None:
    bank = small_bank(tmp_path / "train.zarr", **changes)
    path = tmp_path / "lfb_train.pkl"
    notes = written(bank, path, "mmaction2" if form == "stacked" else "mmaction2-list")
    assert notes == [
        "6 rows of ground_truth",
        "boxes_xyxy, score of the rows",
        "7 seconds at which nobody was found",
        "the provenance",
    ]
    value = torch.load(path, weights_only=True)
    assert sorted(value) == sorted(bank.videos)
    assert value["empty"] == {}
    assert list(value["a"]) == [2, 3, 1000]
    for each in value["a"].values():
        rows = each if form == "stacked" else torch.stack(each)
        assert rows.dtype == torch.float16
        assert isinstance(each, list) == (form == "lists")
    rows = value["a"][2] if form == "stacked" else torch.stack(value["a"][2])
    np.testing.assert_array_equal(rows.numpy(), bank.rows("a", "detections").features[:3])
    back, _ = taken_in(path, tmp_path / "back.zarr")
    assert diff_banks(bank, back, ["detections"]).same
    again = tmp_path / "again.pkl"
    written(bank, again, "mmaction2" if form == "stacked" else "mmaction2-list")
    assert again.read_bytes() == path.read_bytes()


def test_fp32_is_kept_on_request_and_else_rounded_or_refused(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr", dtype="fp32")
    assert written(bank, tmp_path / "half.pkl", "mmaction2")[0] == "the rounding of features to float16"
    written(bank, tmp_path / "full.pkl", "mmaction2", dtype="fp32")
    back, _ = taken_in(tmp_path / "full.pkl", tmp_path / "back.zarr")
    assert diff_banks(bank, back, ["detections"]).same
    source = save(tmp_path / "large.pkl", {"a": {1: torch.full((1, 2), 1e6)}})
    large, _ = taken_in(source, tmp_path / "large.zarr")
    with pytest.raises(InputError) as error:
        written(large, tmp_path / "no.pkl", "mmaction2")
    assert str(error.value) == (
        f"{tmp_path / 'large.zarr'}: video 'a': feature 1e+06 is too large for float16; use --dtype fp32"
    )
    assert not (tmp_path / "no.pkl").exists()


def test_fractions_of_seconds_are_lost_and_said(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "x.zarr", {"a": make_rows({0.0: 1, 0.5: 2, 1.25: 1})}))
    assert "the fractions of 3 timestamps, which stand at their whole second" in written(
        bank, tmp_path / "x.pkl", "mmaction2"
    )
    back, _ = taken_in(tmp_path / "x.pkl", tmp_path / "back.zarr")
    assert back.rows("a", "detections").timestamp.tolist() == [0, 0, 0, 1]
    assert diff_banks(bank, back, ["detections"]).same


BANKS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4),
    st.dictionaries(
        st.integers(-5, 2000),
        arrays.arrays(
            np.float16,
            st.tuples(st.integers(1, 3), st.just(2)),
            elements=st.floats(-1000, 1000, width=16),
        ),
        max_size=3,
    ),
    min_size=1,
    max_size=3,
).filter(lambda value: any(value.values()))


@settings(deadline=None, max_examples=5)
@given(features=BANKS, form=st.sampled_from(FORMS), new=st.booleans(), written_form=st.sampled_from(FORMS))
def test_round_trip(scratch: Path, features: Any, form: str, new: bool, written_form: str) -> None:
    first, _ = taken_in(save(scratch / "x.pkl", value_of(features, form), new=new), scratch / "x.zarr")
    check_features(first, {video: rows or {0: np.empty((0, 2))} for video, rows in features.items()})
    written(first, scratch / "y.pkl", "mmaction2" if written_form == "stacked" else "mmaction2-list")
    second, _ = taken_in(scratch / "y.pkl", scratch / "y.zarr")
    assert diff_banks(first, second).same
    assert second.manifest.parts == first.manifest.parts


def test_windows_of_an_imported_bank_are_those_of_upstreams_fixture(fixtures: Path, tmp_path: Path) -> None:
    fixture = json.loads((fixtures / "parity/mmaction2/lfb_sampling.json").read_text())
    features = {
        video: {int(at): vectors(video, int(at), n) for at, n in seconds.items()}
        for video, seconds in fixture["bank_counts"].items()
    }
    path = save(tmp_path / "lfb.pkl", value_of(features, "lists", torch.float32))
    bank, _ = taken_in(path, tmp_path / "lfb.zarr", provenance={"box_threshold": 0.9})
    windows = ResidentWindows([bank], min_score=0.9)
    for case in fixture["seeded_draws"]:
        video, second = case["img_key"].split(",")
        k, seconds = case["max_num_sampled_feat"], case["window_size"]
        slots = windows.slots([video], [float(second)], seconds=seconds, per_second=k)
        window = windows.gather(slots)[0]
        ours = window[0].reshape(seconds, k, 4).numpy()
        first = int(second) - seconds // 2
        upstream = np.array(case["output"], np.float32).reshape(seconds, k, 4)
        for i in range(seconds):
            rows = features[video].get(first + i, np.empty((0, 4), np.float32))
            np.testing.assert_array_equal(ours[i], np.concatenate([rows[:k], np.zeros((k, 4))])[:k])
            if len(rows) <= k:
                assert sorted(ours[i].tolist()) == sorted(upstream[i].tolist())
    half, _ = taken_in(path, tmp_path / "half.zarr", dtype="fp16", provenance={"box_threshold": 0.9})
    case = fixture["deterministic_case"]
    video, second = case["img_key"].split(",")
    k, seconds = case["max_num_sampled_feat"], case["window_size"]
    windows = ResidentWindows([half], min_score=0.9)
    window = windows.gather(windows.slots([video], [float(second)], seconds=seconds, per_second=k))[0]
    by_second = window[0].reshape(seconds, k, 4).numpy()
    for each in case["rows"]:
        filled = by_second[each["second"] - int(second) + seconds // 2][: len(each["rows_sorted"])]
        assert sorted(filled.tolist()) == each["rows_sorted"]


def test_windows_need_a_threshold_that_is_known(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pkl", value_of(FEATURES, "lists"))
    bank, notes = taken_in(path, tmp_path / "x.zarr")
    assert notes[1] == "no box_threshold is known, so no window can be read; give --provenance box_threshold=..."
    with pytest.raises(InputError, match=r"has no scores and was made with bank\.box_threshold None"):
        ResidentWindows([bank], min_score=0.9)
    known, _ = taken_in(path, tmp_path / "y.zarr", provenance={"box_threshold": 0.9})
    with pytest.raises(InputError, match=r"cannot be cut at score 0\.95"):
        ResidentWindows([known], min_score=0.95)
    windows = ResidentWindows([known], min_score=0.9)
    filled = windows.gather(windows.slots(["film"], [903.0], seconds=3, per_second=2))[1]
    assert filled.reshape(-1).tolist() == [True, True, True, False, False, False]
    assert sum(map(sum, (seconds.values() for seconds in COUNTS.values()))) == known.count("detections")

import importlib
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.diff import diff_banks
from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.interop.banks import hdf5
from pipeline.interop.banks.hdf5 import read_hdf5
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.interop.banks.files import FEATURES, check_features, small_bank, taken_in, written


def test_a_bank_comes_back_with_every_column(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr")
    path = tmp_path / "train.h5"
    assert written(bank, path, "hdf5") == ["6 rows of ground_truth"]
    back, notes = taken_in(path, tmp_path / "back.zarr")
    assert diff_banks(bank, back, ["detections"]).same
    for video in bank.videos:
        ours, theirs = (each.rows(video, "detections").arrays() for each in (bank, back))
        assert {name: (a.dtype, a.tobytes()) for name, a in ours.items()} == {
            name: (a.dtype, a.tobytes()) for name, a in theirs.items()
        }
        assert bank.timestamps_seen(video).tolist() == back.timestamps_seen(video).tolist()
    assert {key: back.provenance[key] for key in PROVENANCE} == PROVENANCE
    assert back.provenance["imported_from"] == "hdf5"
    assert notes == ["read as a bank in HDF5"]
    again = tmp_path / "again.h5"
    written(bank, again, "hdf5")
    assert again.read_bytes() == path.read_bytes()


def test_the_layout_is_what_the_docs_say(tmp_path: Path) -> None:
    bank = small_bank(tmp_path / "train.zarr", dtype="fp32")
    written(bank, tmp_path / "x.h5", "hdf5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert sorted(file) == ["%2E%2E%2Fb%2C%20%C3%BC", "a", "empty"]
        assert file["%2E%2E%2Fb%2C%20%C3%BC"].attrs["video_id"] == "../b, ü"
        assert {name: (str(each.dtype), each.shape) for name, each in file["a"].items()} == {
            "features": ("float32", (74, 4)),
            "timestamp": ("float64", (74,)),
            "boxes": ("float64", (74, 4)),
            "score": ("float32", (74,)),
            "timestamps_seen": ("float64", (5,)),
        }
        assert file.attrs["split"] == "train"
    written(bank, tmp_path / "half.h5", "hdf5", dtype="fp16")
    with h5py.File(tmp_path / "half.h5") as file:
        assert file["a/features"].dtype == np.float16


def by_hand(path: Path, **columns: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in columns.items():
            file.create_dataset(f"v/{name}", data=value)
    return path


def test_a_file_made_by_hand_needs_features_and_timestamps_only(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for video, seconds in FEATURES.items():
            group = file.create_group(video)
            group.create_dataset("features", data=np.concatenate(list(seconds.values())), compression="gzip")
            group.create_dataset("timestamp", data=np.repeat(list(seconds), [len(each) for each in seconds.values()]))
            group.create_dataset("anything", data=np.arange(3))
    bank, _ = taken_in(tmp_path / "x.h5", tmp_path / "x.zarr")
    check_features(bank, FEATURES)
    assert bank.timestamps_seen("film").tolist() == [902, 903, 960]


def test_rows_in_any_order_are_sorted_as_a_bank_has_them(tmp_path: Path) -> None:
    path = by_hand(
        tmp_path / "x.h5",
        features=np.arange(8, dtype=np.float64).reshape(4, 2),
        timestamp=[2, 1, 1, 1],
        boxes=np.array([[0.1, 0.2, 0.3, 0.4]] * 4, np.float32),
        score=np.array([0.5, 0.6, 0.9, 0.6]),
        track_id=np.array([1, 2, 3, 4], np.uint8),
    )
    bank, _ = taken_in(path, tmp_path / "x.zarr", dtype="fp16", provenance={"box_threshold": 0.5})
    rows = bank.rows("v", "detections")
    assert rows.track_id is not None
    assert rows.track_id.tolist() == [3, 2, 4, 1]
    assert rows.features[:, 0].tolist() == [4, 2, 6, 0]
    assert rows.boxes_xyxy[0].tolist() == np.array([0.1, 0.2, 0.3, 0.4], np.float32).tolist()


GOOD: dict[str, Any] = {"features": np.ones((2, 3)), "timestamp": [1.0, 2.0]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no timestamps": ({"features": np.ones((2, 3))}, "has no timestamp, expected features and timestamp"),
    "text": ({**GOOD, "timestamp": [b"a", b"b"]}, "timestamp is object (2,), expected numbers of shape (n,)"),
    "whole features": (
        {**GOOD, "features": np.ones((2, 3), int)},
        "features is int64 (2, 3), expected floating-point numbers of shape (n, m)",
    ),
    "one axis": (
        {**GOOD, "features": np.ones(2)},
        "features is float64 (2,), expected floating-point numbers of shape (n, m)",
    ),
    "tracks": ({**GOOD, "track_id": [0.5, 1]}, "track_id is float64 (2,), expected whole numbers of shape (n,)"),
    "rows": ({**GOOD, "timestamp": [1.0]}, "features has shape (2, 3), expected (1, 3)"),
    "boxes": ({**GOOD, "boxes": np.ones((2, 5))}, "boxes_xyxy has shape (2, 5), expected (2, 4)"),
    "scores": ({**GOOD, "score": np.ones(3)}, "score has shape (3,), expected (2,)"),
    "no channels": ({**GOOD, "features": np.ones((2, 0))}, "features have no channels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said(tmp_path: Path, name: str) -> None:
    columns, reason = WRONG[name]
    path = by_hand(tmp_path / "x.h5", **columns)
    with pytest.raises(InputError) as error:
        read_hdf5(path).read("v")
    assert str(error.value) == f"{path}: video 'v': {reason}"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_hdf5(path).read("v")
    return str(error.value)


def test_nothing_outside_of_the_file_is_read(tmp_path: Path) -> None:
    other = by_hand(tmp_path / "secret.h5", **GOOD)
    for name, link in (("soft", h5py.SoftLink("/w")), ("external", h5py.ExternalLink(str(other), "/v"))):
        path = by_hand(tmp_path / f"{name}.h5", other=1)
        with h5py.File(path, "w") as file:
            file["v"] = link
        assert refusal(path) == f"{path}: 'v' is a link, which is not followed"
        with h5py.File(path, "w") as file:
            file["v/features"] = np.ones((2, 3))
            file["v/timestamp"] = h5py.ExternalLink(str(other), "/v/timestamp")
        assert refusal(path) == f"{path}: video 'v': 'timestamp' is a link, which is not followed"
    path = tmp_path / "raw.h5"
    (tmp_path / "raw").write_bytes(bytes(48))
    with h5py.File(path, "w") as file:
        file.create_dataset("v/features", (2, 3), "f8", external=[(str(tmp_path / "raw"), 0, 48)])
    assert refusal(path) == f"{path}: video 'v': features lies in other files, which are not read"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((2, 3), "f8")
        layout[:] = h5py.VirtualSource(str(other), "v/features", (2, 3))
        file.create_virtual_dataset("v/features", layout)
    assert refusal(path) == f"{path}: video 'v': features lies in other files, which are not read"


def test_an_array_that_claims_what_is_not_stored_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v/features", (1 << 40, 2048), "f4", chunks=(64, 2048))
    assert refusal(path) == f"{path}: video 'v': features claims {1 << 53} bytes, 0 are stored"


def test_what_is_no_bank_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    h5py.File(path, "w").close()
    assert refusal(path) == f"{path}: holds no group, expected one for each video"
    with h5py.File(path, "w") as file:
        file["v"] = np.ones(3)
    assert refusal(path) == f"{path}: 'v' is a Dataset, expected a Group"
    with h5py.File(path, "w") as file:
        for name in "vw":
            file[f"{name}/features"] = np.ones((2, 3))
            file[name].attrs["video_id"] = "same"
    assert refusal(path) == f"{path}: group 'w' is of video 'same', expected one of its own"
    with h5py.File(path, "w") as file:
        file["v/features"] = np.ones((2, 3))
        file.attrs["provenance"] = "[1]"
    assert refusal(path) == f"{path}: attribute provenance is '[1]', expected a JSON object"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert refusal(path).startswith(f"{path}: not a readable HDF5 file: ")
    assert refusal(tmp_path / "absent.h5").startswith(f"{tmp_path / 'absent.h5'}: not a readable HDF5 file: ")


def test_without_h5py_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, hdf5.__name__)
    with pytest.raises(InputError) as error:
        importlib.import_module(hdf5.__name__)
    assert (
        str(error.value) == "HDF5 needs h5py, which is not installed; `./run uv pip install -e '.[hdf5]'` installs it"
    )


@settings(deadline=None, max_examples=4)
@given(
    counts=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4),
        st.dictionaries(st.sampled_from([0.0, 0.25, 1.0, 900.0]), st.integers(0, 3)),
        min_size=1,
        max_size=3,
    ),
    dtype=st.sampled_from(["fp16", "fp32"]),
    scored=st.booleans(),
    tracked=st.booleans(),
)
def test_round_trip(scratch: Path, counts: Any, dtype: str, scored: bool, tracked: bool) -> None:
    rows = {video: make_rows(each, scored=scored, tracked=tracked) for video, each in counts.items()}
    bank = open_bank(write_small_bank(scratch / "x.zarr", rows, ground_truth=None, dtype=dtype))
    written(bank, scratch / "x.h5", "hdf5")
    back, _ = taken_in(scratch / "x.h5", scratch / "y.zarr")
    assert diff_banks(bank, back).same
    assert back.manifest.parts == bank.manifest.parts


def test_an_id_that_hdf5_cannot_hold_is_refused(tmp_path: Path) -> None:
    rows = {"a\0b": make_rows({1.0: 1})}
    bank = open_bank(write_small_bank(tmp_path / "x.zarr", rows, ground_truth=None, dtype="fp16"))
    with pytest.raises(InputError) as error:
        written(bank, tmp_path / "x.h5", "hdf5")
    assert str(error.value).endswith("video 'a\\x00b': HDF5 stores no text with a NUL character")
    assert not (tmp_path / "x.h5").exists()

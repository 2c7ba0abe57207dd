import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipeline.bank.check_bank import list_missing, verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.format import part_folder
from pipeline.bank.pack import pack_parts, write_packed_part
from pipeline.bank.reader import open_bank
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, files_below
from pipeline.base.packing import pack_name, pack_of
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, reseal_bank, write_small_part
from tests.bank.test_reader import assert_rows_equal

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "bank-format.md"
FILMS = {f"film {number}": make_rows({0.0: 1 + number, 2.0: 30 * number}, seed=number) for number in range(7)}
FILMS["nobody"] = make_rows({})


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


def write_parts(folder: Path, films: dict[str, FeatureRows], **changes: Any) -> dict[str, Path]:
    return {
        name: write_small_part(folder / str(number), name, rows, **changes)
        for number, (name, rows) in enumerate(films.items())
    }


def packed_bank(tmp_path: Path, packs: int, **changes: Any) -> Path:
    path = tmp_path / "train.zarr"
    parts = pack_parts(write_parts(tmp_path / "loose", FILMS, **changes), packs)
    assemble_bank(path, parts=parts, split="train", provenance=PROVENANCE)
    return path


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("packs", [1, 3, 1000])
def test_videos_of_one_part_are_read_one_by_one(tmp_path: Path, packs: int, codec: str) -> None:
    objects = make_rows({1.0: 3}, seed=9)
    path = packed_bank(tmp_path, packs, codec=codec, objects=objects)
    bank = open_bank(path)
    assert bank.videos == tuple(sorted(FILMS))
    assert set(bank.parts) == {pack_name(pack_of(video, packs), packs) for video in FILMS}
    for video, rows in FILMS.items():
        assert bank.part_of(video) == pack_name(pack_of(video, packs), packs)
        assert_rows_equal(bank.rows(video, "detections"), rows)
        assert_rows_equal(bank.rows(video, "ground_truth"), make_rows({1.0: 2}, scored=False))
        assert_rows_equal(bank.rows(video, "objects"), objects)
        assert (bank.count("detections", video), bank.count("ground_truth", video)) == (len(rows), 2)
        assert bank.timestamps_seen(video).tolist() == [0.0, 1.0, 2.0]
        assert bank.attributes(video) == ATTRIBUTES
    assert bank.count("detections") == sum(len(rows) for rows in FILMS.values())
    assert verify_bank(path) == []
    assert list_missing(bank) == []


def test_parts_have_names_that_sort() -> None:
    assert [pack_name(number, 256) for number in (0, 7, 255)] == [
        "pack-000-of-256",
        "pack-007-of-256",
        "pack-255-of-256",
    ]
    assert pack_name(0, 1) == "pack-0-of-1"
    assert "`pack-007-of-256`" in DOCUMENT.read_text()


def test_a_changed_video_changes_its_part_alone(tmp_path: Path) -> None:
    packs = 3
    loose = write_parts(tmp_path / "loose", FILMS)
    before = pack_parts(loose, packs)
    assert pack_parts(dict(reversed(loose.items())), packs) == before
    changed = write_small_part(tmp_path / "changed", "film 1", make_rows({1.0: 5}, seed=99))
    after = pack_parts({**loose, "film 1": changed}, packs)
    assert {name for name in before if before[name] != after[name]} == {pack_name(pack_of("film 1", packs), packs)}
    del loose["film 2"]
    less = pack_parts(loose, packs)
    assert {name for name in before if before[name] != less.get(name)} == {pack_name(pack_of("film 2", packs), packs)}
    write_small_part(tmp_path / "new", "film 1", FILMS["film 1"], attributes={**ATTRIBUTES, "note": 1})
    noted = pack_parts({**loose, "film 1": tmp_path / "new"}, packs)
    assert {name for name in less if less[name] != noted[name]} == {pack_name(pack_of("film 1", packs), packs)}


def test_a_part_is_made_once(tmp_path: Path, work: Path) -> None:
    loose = write_parts(tmp_path / "loose", FILMS)
    first = pack_parts(loose, 2)
    times = {path: path.stat().st_mtime_ns for path in work.rglob("*/part.json")}
    assert len(times) == 2
    assert pack_parts(loose, 2) == first
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*/part.json")} == times


def test_ground_truth_changes_no_byte_of_packed_detections(tmp_path: Path) -> None:
    folders = {
        name: write_parts(tmp_path / name, FILMS, ground_truth=truth)
        for name, truth in (("one", make_rows({1.0: 3}, scored=False)), ("two", None))
    }
    for name, members in folders.items():
        write_packed_part(tmp_path / "packs" / name, part="p", members=members)
    one, two = tmp_path / "packs/one", tmp_path / "packs/two"
    assert digest_tree(one / "detections") == digest_tree(two / "detections")
    assert (one / "ground_truth").is_dir()
    assert not (two / "ground_truth").exists()


def test_a_video_may_lack_a_row_set_that_the_others_have(tmp_path: Path) -> None:
    members = write_parts(tmp_path / "loose", FILMS)
    write_small_part(members["film 3"], "film 3", FILMS["film 3"], ground_truth=None)
    write_packed_part(tmp_path / "pack", part="p", members=members)
    assemble_bank(tmp_path / "train.zarr", parts={"p": tmp_path / "pack"}, split="train", provenance=PROVENANCE)
    bank = open_bank(tmp_path / "train.zarr")
    assert [video for video in bank.videos if not bank.has_rows(video, "ground_truth")] == ["film 3"]
    assert bank.count("ground_truth", "film 3") == 0
    assert_rows_equal(bank.rows("film 4", "ground_truth"), make_rows({1.0: 2}, scored=False))
    with pytest.raises(InputError, match=r"has no row set 'ground_truth' of video 'film 3'$"):
        bank.rows("film 3", "ground_truth")
    assert list_missing(bank) == ["ground_truth: not of 1 of 8 videos"]
    assert verify_bank(tmp_path / "train.zarr") == []


def test_what_is_recorded_with_a_video_stays_with_it(tmp_path: Path) -> None:
    recorded = {"a": {**ATTRIBUTES, "note": 1}, "b": {**ATTRIBUTES, "note": 2, "only": True}}
    members = {
        name: write_small_part(tmp_path / name, name, make_rows({0.0: 2}), attributes=each, seconds_seen=[0.0, number])
        for number, (name, each) in enumerate(recorded.items())
    }
    write_packed_part(tmp_path / "pack", part="p", members=members)
    assemble_bank(tmp_path / "train.zarr", parts={"p": tmp_path / "pack"}, split="train", provenance=PROVENANCE)
    bank = open_bank(tmp_path / "train.zarr")
    assert {video: bank.attributes(video) for video in bank.videos} == recorded
    assert {video: bank.timestamps_seen(video).tolist() for video in bank.videos} == {"a": [0.0], "b": [0.0, 1.0]}
    shared = dict(zarr.open_group(str(tmp_path / "train.zarr/p"), mode="r").attrs)
    assert {key: shared[key] for key in shared if key not in ("part", "videos")} == ATTRIBUTES


def test_boxes_and_scores_that_nobody_knows_stay_unknown(tmp_path: Path) -> None:
    bare = FeatureRows(np.ones((2, 4)), np.zeros(2), np.full((2, 4), np.nan))
    members = write_parts(tmp_path / "loose", {"a": bare, "b": make_rows({}), "c": bare}, ground_truth=None)
    write_packed_part(tmp_path / "pack", part="p", members=members)
    assemble_bank(tmp_path / "train.zarr", parts={"p": tmp_path / "pack"}, split="train", provenance=PROVENANCE)
    bank = open_bank(tmp_path / "train.zarr")
    for video, count in (("a", 2), ("b", 0), ("c", 2)):
        rows = bank.rows(video, "detections")
        assert rows.score is None
        assert np.isnan(rows.boxes_xyxy).all()
        assert rows.boxes_xyxy.shape == (count, 4)
    assert verify_bank(tmp_path / "train.zarr") == []


def test_videos_that_cannot_share_a_part_are_refused(tmp_path: Path) -> None:
    a = write_small_part(tmp_path / "a", "a", make_rows({1.0: 2}))
    wide = write_small_part(tmp_path / "wide", "b", make_rows({1.0: 2}, channels=6))
    tracked = write_small_part(tmp_path / "tracked", "b", make_rows({1.0: 2}, tracked=True))
    other = write_small_part(tmp_path / "other", "b", make_rows({1.0: 2}), attributes={"checkpoint_sha256": "d" * 64})
    for b, message in (
        (wide, "parts of one bank differ in channels: 'a' has 4, 'b' has 6"),
        (
            tracked,
            "videos of one part differ in the arrays of detections: 'a' has boxes_xyxy, features, score, timestamp, "
            "'b' has boxes_xyxy, features, score, timestamp, track_id",
        ),
        (tmp_path, f"{tmp_path}: not a finished part: part.json is missing (it is written last)"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            write_packed_part(tmp_path / "pack", part="p", members={"a": a, "b": b})
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            pack_parts({"a": a, "b": b}, 1)
        assert not (tmp_path / "pack").exists()
    parts = pack_parts({"a": a, "b": other}, 1)
    message = f"video 'b' was made with checkpoint_sha256 {'d' * 64!r}, the bank with {'c' * 64!r}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        assemble_bank(tmp_path / "x.zarr", parts=parts, split="train", provenance=PROVENANCE)
    message = "a bank of split 'train': video 'a' stands in parts 'a' and 'pack-0-of-1', expected in one"
    parts = pack_parts({"a": a}, 1)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        assemble_bank(tmp_path / "x.zarr", parts={"a": a, **parts}, split="train", provenance=PROVENANCE)
    (a / "detections/score/c/0").unlink()
    with pytest.raises(InputError, match=r"^part .a.: detections: the shard of score is missing, expected 276 b"):
        write_packed_part(tmp_path / "pack", part="p", members={"a": a})


def test_a_part_that_says_other_videos_than_the_manifest_is_found(tmp_path: Path) -> None:
    path = packed_bank(tmp_path, 1)
    group = zarr.open_group(str(path / part_folder("pack-0-of-1")), mode="r+")
    videos = dict(group.attrs["videos"])
    group.attrs["videos"] = {**videos, "film 1": {**videos["film 1"], "rows": {"detections": 1}}}
    reseal_bank(path)
    assert [str(each).removeprefix(f"{path}: ") for each in verify_bank(path)] == [
        "part 'pack-0-of-1': zarr.json: video 'film 1': found rows {'detections': 1}, "
        "expected {'detections': 32, 'ground_truth': 2}"
    ]


def documented_code(module: str) -> str:
    """The block of Python in the document that imports `module`."""
    (block,) = re.findall(rf"```python\n(import {module}\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(block)


@pytest.mark.parametrize("packs", [1, 3])
def test_plain_zarr_and_xarray_read_it_as_documented(tmp_path: Path, packs: int) -> None:
    path = packed_bank(tmp_path, packs)
    before = {file: (path / file).stat().st_mtime_ns for file in files_below(path)}
    seen = set()
    for part in open_bank(path).parts:
        names: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for module in ("zarr", "xarray"):
                code = documented_code(module).replace("data/playground/bank/train.zarr", str(path))
                exec(code.replace("<part>", part_folder(part)), names)
        for video, rows in names["slices"].items():
            expected = FILMS[video].take(FILMS[video].order())
            np.testing.assert_array_equal(names["features"][rows], expected.features.astype(np.float16))
            np.testing.assert_array_equal(names["rows"].timestamp[rows], expected.timestamp)
            np.testing.assert_array_equal(names["rows"].features[rows], expected.features.astype(np.float16))
            seen.add(video)
        assert names["rows"].features.dims == ("row", "channel")
        assert isinstance(names["rows"], names["xarray"].Dataset)
    assert seen == set(FILMS)
    assert {file: (path / file).stat().st_mtime_ns for file in files_below(path)} == before

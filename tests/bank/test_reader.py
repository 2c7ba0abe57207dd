import json
import re
import shutil
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.format import MANIFEST
from pipeline.bank.reader import Bank, check_pair, check_producer, open_bank, open_parts
from pipeline.bank.writer import assemble_bank
from pipeline.base.checksums import REMEDY, read_sealed_json, write_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_file, write_bytes
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, reseal_bank, write_small_bank, write_small_part


def assert_rows_equal(found: FeatureRows, expected: FeatureRows, dtype: str = "float16") -> None:
    expected = FeatureRows(**{**expected.arrays(), "features": expected.features.astype(dtype)})
    if expected.score is not None:
        expected = FeatureRows(**{**expected.arrays(), "score": expected.score.astype(np.float32)})
    expected = expected.take(expected.order())
    assert found.arrays().keys() == expected.arrays().keys()
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array, err_msg=name)
        assert found.arrays()[name].dtype == array.dtype


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    return write_small_bank(
        tmp_path / "train.zarr", {"a": make_rows({0.0: 3, 2.0: 66}), "b": make_rows({})}, attributes=ATTRIBUTES
    )


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_what_was_written_is_read(tmp_path: Path, codec: str, dtype: str) -> None:
    detections = make_rows({0.0: 64, 1.0: 65}, tracked=True)
    truth = make_rows({1.0: 2}, scored=False, seed=1)
    path = write_small_bank(
        tmp_path / "val.zarr", {"v": detections}, split="val", ground_truth=truth, codec=codec, dtype=dtype
    )
    bank = open_bank(path)
    kind = {"fp16": "float16", "fp32": "float32"}[dtype]
    assert_rows_equal(bank.rows("v", "detections"), detections, kind)
    assert_rows_equal(bank.rows("v", "ground_truth"), truth, kind)
    assert (bank.split, bank.channels, bank.dtype, bank.videos) == ("val", 4, np.dtype(kind), ("v",))
    assert bank.provenance == PROVENANCE
    assert bank.digest == digest_file(path / MANIFEST)
    assert repr(bank) == f"Bank('{path}', 1 videos, 129 detections, 2 ground_truth, 4 channels {kind})"


def test_counts_attributes_and_seconds(bank_path: Path) -> None:
    bank = open_bank(bank_path)
    assert (bank.count("detections"), bank.count("detections", "a"), bank.count("ground_truth", "b")) == (69, 69, 2)
    assert (bank.count("detections", "c"), bank.count("others")) == (0, 0)
    assert bank.rows("b", "detections").features.shape == (0, 4)
    assert bank.timestamps_seen("b").tolist() == [0.0, 1.0, 2.0]
    assert bank.attributes("a")["video_sha256"] == "e" * 64
    assert bank.column("a", "ground_truth", "score") is None
    assert bank.has_rows("a", "ground_truth")
    assert not bank.has_rows("c", "detections")


def test_changing_what_was_read_changes_no_file(bank_path: Path) -> None:
    before = digest_file(bank_path / "a/detections/features/c/0/0")
    open_bank(bank_path).rows("a", "detections").features[:] = 0
    assert digest_file(bank_path / "a/detections/features/c/0/0") == before
    assert open_bank(bank_path).rows("a", "detections").features.any()


def test_shards_whose_chunks_lie_in_another_order_are_read_by_zarr(bank_path: Path) -> None:
    """Such a shard is valid Zarr; another writer may make it."""
    expected = np.array(open_bank(bank_path).rows("a", "detections").features)
    shard = bank_path / "a/detections/features/c/0/0"
    data, size = shard.read_bytes(), 64 * 4 * 2
    index = np.array([[size, size], [0, size]], "<u8").tobytes()
    checksum = google_crc32c.value(index).to_bytes(4, "little")
    write_bytes(shard, data[size : 2 * size] + data[:size] + index + checksum)
    reseal_bank(bank_path)
    np.testing.assert_array_equal(open_bank(bank_path).rows("a", "detections").features, expected)


def test_what_is_no_whole_bank_is_refused(bank_path: Path, tmp_path: Path) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(InputError, match="^" + re.escape(f"{path}{message}") + "$"):
            open_bank(path)

    refused(tmp_path / "none", ": no such bank")
    refused(bank_path / "zarr.json", ": is a file, expected a bank's folder")
    (tmp_path / "other").mkdir()
    refused(tmp_path / "other", ": not a feature bank: it has neither manifest.json nor zarr.json")
    half = shutil.copytree(bank_path, tmp_path / "half")
    shutil.rmtree(half / "b")
    refused(half, ": half a bank: 1 of 2 parts are missing, the first is 'b'")
    (half / MANIFEST).unlink()
    refused(half, ": half a bank: manifest.json is missing (it is written last)")
    refused(bank_path / "a", ": half a bank: manifest.json is missing (it is written last)")
    manifest = read_sealed_json(bank_path / MANIFEST)
    (half / MANIFEST).write_text(json.dumps({**manifest, "version": 3}))
    refused(half, "/manifest.json: format version is 3, this program reads 2")
    (half / MANIFEST).write_text(json.dumps({**manifest, "version": 1}))
    refused(half, "/manifest.json: format version is 1, this program reads 2; make the bank anew")
    (half / MANIFEST).write_text(json.dumps(manifest)[:99])
    with pytest.raises(InputError, match=r"half/manifest\.json: not JSON: "):
        open_bank(half)


def test_a_manifest_that_names_a_part_outside_stays_inside(bank_path: Path) -> None:
    manifest = read_sealed_json(bank_path / MANIFEST)
    part = manifest["parts"]["a"]
    manifest["parts"]["../../x"] = {**part, "videos": {"x": part["videos"]["a"]}}
    write_sealed_json(bank_path / MANIFEST, manifest)
    with pytest.raises(InputError, match=re.escape("1 of 3 parts are missing, the first is '../../x'")):
        open_bank(bank_path)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_missing_and_cut_shards_are_refused_when_read(tmp_path: Path, codec: str) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 3})}, codec=codec)
    bank = open_bank(path)
    shard = path / "a/detections/features/c/0/0"
    size = shard.stat().st_size
    write_bytes(shard, shard.read_bytes()[:-1])
    message = f"{path}: part 'a': detections: the shard of features has {size - 1} bytes, expected {size}; {REMEDY}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        bank.rows("a", "detections")
    shard.unlink()
    message = f"{path}: part 'a': detections: the shard of features is missing, expected {size} bytes; {REMEDY}"
    for read in (lambda: bank.rows("a", "detections"), lambda: bank.column("a", "detections", "timestamp")):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            read()
    assert len(bank.rows("a", "ground_truth")) == 2


def test_a_compressed_shard_that_cannot_be_decoded_is_refused_when_read(tmp_path: Path) -> None:
    """A faulty writer's: its checksum is right."""
    path = write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 300})}, codec="zstd")
    shard = path / "a/detections/features/c/0/0"
    data = bytearray(shard.read_bytes())
    data[:8] = bytes(8)
    write_bytes(shard, bytes(data))
    reseal_bank(path)
    with pytest.raises(InputError, match=r"a/detections/features: not a readable Zarr array: "):
        open_bank(path).rows("a", "detections")
    (path / "a/detections/score/zarr.json").unlink()
    with pytest.raises(InputError, match=r"a/detections/score: not a readable Zarr array: "):
        open_bank(path).column("a", "detections", "score")


def test_unknown_videos_and_row_sets_are_refused(bank_path: Path) -> None:
    bank = open_bank(bank_path)
    for call in (lambda: bank.rows("c", "detections"), lambda: bank.timestamps_seen("c")):
        with pytest.raises(InputError, match=f"^{re.escape(str(bank_path))}: has no video 'c'$"):
            call()
    with pytest.raises(InputError, match=r"has no row set 'others' of video 'a'$"):
        bank.rows("a", "others")
    write_bytes(bank_path / "a/zarr.json", b"[]")
    reseal_bank(bank_path)
    bank = open_bank(bank_path)
    with pytest.raises(InputError, match=r"a/zarr\.json: has no attributes, expected a Zarr v3 group's metadata$"):
        bank.attributes("a")


def test_loose_parts_read_like_their_bank(tmp_path: Path) -> None:
    rows = {"a": make_rows({0.0: 3}), "b": make_rows({1.0: 4}, seed=1)}
    folders = {name: write_small_part(tmp_path / f"key-{name}", name, each) for name, each in rows.items()}
    assemble_bank(tmp_path / "train.zarr", parts=folders, split="train", provenance=PROVENANCE)
    whole, loose = open_bank(tmp_path / "train.zarr"), open_parts(folders, PROVENANCE, split="train")
    for video in whole.videos:
        assert_rows_equal(loose.rows(video, "detections"), rows[video])
        np.testing.assert_array_equal(loose.timestamps_seen(video), whole.timestamps_seen(video))
    assert (loose.parts, loose.channels, loose.provenance) == (whole.parts, whole.channels, whole.provenance)
    assert check_pair(whole, loose, allow_mixed=False) == {}
    assert loose.digest == open_parts(dict(reversed(folders.items())), PROVENANCE, split="train").digest
    assert loose.digest != open_parts({"a": folders["a"]}, PROVENANCE, split="train").digest
    with pytest.raises(InputError, match="was made with checkpoint_sha256"):
        open_parts(folders, {**PROVENANCE, "checkpoint_sha256": "d" * 64})


def bank_of(tmp_path: Path, name: str, channels: int = 4, dtype: str = "fp16", **provenance: Any) -> Bank:
    path = tmp_path / f"{name}.zarr"
    made = {key: value for key, value in {**PROVENANCE, **provenance}.items() if value is not None}
    return open_bank(
        write_small_bank(path, {name: make_rows({0.0: 2}, channels=channels)}, provenance=made, dtype=dtype)
    )


def test_train_and_val_must_have_the_same_maker(tmp_path: Path) -> None:
    train = bank_of(tmp_path, "train")
    assert check_pair(train, bank_of(tmp_path, "val", frames_sha256="0" * 64), allow_mixed=False) == {}
    val = bank_of(tmp_path, "other", checkpoint_sha256="d" * 64, pooling="max", box_threshold=None, dtype="fp32")
    message = (
        f"{train.where} and {val.where} do not belong together: box_threshold is 0.5 and None; "
        f"checkpoint_sha256 is '{'c' * 64}' and '{'d' * 64}'; dtype is 'float16' and 'float32'; "
        "pooling is 'average, max' and 'max'; bank.allow_mixed=true uses them all the same"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_pair(train, val, allow_mixed=False)
    differences = check_pair(train, val, allow_mixed=True)
    assert differences["pooling"] == ["average, max", "max"]
    assert sorted(differences) == ["box_threshold", "checkpoint_sha256", "dtype", "pooling"]
    with pytest.raises(InputError, match=r"do not belong together: channels is 4 and 8$"):
        check_pair(train, bank_of(tmp_path, "wide", channels=8), allow_mixed=True)


def test_the_producer_is_checked(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, "train")
    assert check_producer(bank, "c" * 64) == {}
    message = f"{bank.where}: was made by checkpoint {'c' * 64}, expected {'d' * 64}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_producer(bank, "d" * 64)
    assert check_producer(bank, "d" * 64, allow_mixed=True) == {"checkpoint_sha256": ["c" * 64, "d" * 64]}
    anonymous = bank_of(tmp_path, "anonymous", checkpoint_sha256=None)
    with pytest.raises(InputError, match="was made by a checkpoint that it does not name, expected dd"):
        check_producer(anonymous, "d" * 64)


def test_opening_reads_nothing_but_the_manifest(bank_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_path = Path.open

    def recorded(path: Path, *how: Any, **more: Any) -> Any:  # read_text and read_bytes come through here too
        opened.append(path.name)
        return open_path(path, *how, **more)

    monkeypatch.setattr(Path, "open", recorded)
    monkeypatch.setattr("pipeline.bank.arrays.zarr", None)
    bank = open_bank(bank_path)
    assert opened == [MANIFEST]
    assert len(bank.rows("a", "detections")) == 69  # and uncompressed arrays need no Zarr reader

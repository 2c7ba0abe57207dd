import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import write_text
from pipeline.base.work import make_item
from pipeline.checkpoint.weights import save_checkpoint
from pipeline.project.damage import (
    cached_objects,
    changed_sources,
    damaged_items,
    damaged_objects,
    damaged_outs,
    locked_outs,
    out_faults,
)
from pipeline.tables.label_map import Label, write_labels
from pipeline.tables.schemas import TIMELINES, write_table
from pipeline.video.manifest import write_manifest
from pipeline.video.store import Row, write_frames
from tests.bank.banks import make_rows, write_small_bank
from tests.checkpoint.sidecars import head_checkpoint


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def write_store(folder: Path) -> Path:
    """A frame store of one film of two frames."""
    folder.mkdir()
    jpeg = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    facts = {"grid_frames": 2, "stored_height": 16, "stored_width": 16}
    write_frames(folder / "a.arrow", [Row(jpeg, 0.0, 0), Row(jpeg, 0.5, 1)], lambda: facts)
    write_manifest(folder, {"a": {**facts, "rows": 2, "sha256": "0" * 64}}, fps=2.0)
    return folder


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit of a file, by default in its middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_damaged_out_of_every_kind_is_found(tmp_path: Path) -> None:
    bank = write_small_bank(tmp_path / "train.zarr", {"v": make_rows({0.0: 3})})
    frames = write_store(tmp_path / "frames")
    tables = tmp_path / "annotations"
    rows = [{"video_id": "a", "split": "train", "first_timestamp": 0.0, "offset_seconds": 0.5}] * 50
    write_table(pa.Table.from_pylist(rows, TIMELINES), tables / "timelines.parquet", TIMELINES)
    write_labels(tables / "labels.json", [Label(1, "walk", "pose")])
    (tables / "problems.json").write_text("{}")
    weights = tmp_path / "head.safetensors"
    save_checkpoint(weights, {"x": torch.ones(3)}, head_checkpoint())
    outs = [bank, frames, tables, weights, weights.with_suffix(".json")]
    assert list(damaged_outs([*outs, tmp_path / "absent"])) == []
    harmed = {
        bank: bank / "v/detections/features/c/0/0",
        frames: frames / "a.arrow",
        tables: tables / "labels.json",
        weights: weights,
        weights.with_suffix(".json"): weights.with_suffix(".json"),
    }
    for out, path in harmed.items():
        whole = path.read_bytes()
        flip(path, 500 if path.suffix == ".arrow" else None)
        (fault, *_) = out_faults(out)
        assert str(path) in fault, fault
        assert "\n" not in fault
        path.write_bytes(whole)
        assert out_faults(out) == []
    flip(tables / "timelines.parquet", 60)
    assert str(tables / "timelines.parquet") in out_faults(tables)[0]
    flip(bank / "manifest.json")
    assert str(bank / "manifest.json") in out_faults(bank)[0]
    flip(bank / "v" / "zarr.json")
    flip(frames / "manifest.json")
    assert str(frames / "manifest.json") in out_faults(frames)[0]


def test_a_damaged_item_is_found_however_it_looks(tmp_path: Path) -> None:
    folder = make_item("stage", "key", lambda folder: write_text(folder / "x", "whole"))
    assert list(damaged_items()) == []
    flip(folder / "x")
    (damage,) = damaged_items()
    assert (damage.remove, damage.fault.split(":")[0]) == (folder, str(folder / "x"))


def test_a_cache_is_compared_with_its_own_names(tmp_path: Path) -> None:
    cache = tmp_path / "md5"

    def put(data: bytes, suffix: str = "") -> str:
        name = hashlib.md5(data).hexdigest() + suffix
        (cache / name[:2]).mkdir(parents=True, exist_ok=True)
        (cache / name[:2] / name[2:]).write_bytes(data)
        return name

    file = put(b"one")
    listing = put(json.dumps([{"md5": file, "relpath": "x"}]).encode(), ".dir")
    absent = "0" * 32
    assert list(damaged_objects(cached_objects(cache, [listing, absent]))) == []
    flip(cache / file[:2] / file[2:])
    (damage,) = damaged_objects(cached_objects(cache, [listing, absent]))
    assert damage.remove == cache / file[:2] / file[2:]
    assert damage.fault.endswith(f"its name says {file}")
    flip(cache / listing[:2] / listing[2:])
    assert [each.remove.name for each in damaged_objects(cached_objects(cache, [listing]))] == [listing[2:]]


def test_outs_are_those_of_the_lock_file_of_imports_and_of_dvc_add(tmp_path: Path) -> None:
    assert locked_outs(tmp_path) == ({}, {})
    (tmp_path / "dvc.lock").write_text("stages: {a: {outs: [{path: models/x, md5: '1'}, {path: y, size: 3}]}, b: {}}")
    (tmp_path / "bank.zarr.dvc").write_text("deps: [{path: bank.zarr}]\nouts: [{path: bank.zarr, md5: 2.dir}]")
    (tmp_path / "films.dvc").write_text("wdir: in\nouts: [{path: films, md5: 3.dir}]")
    again = {tmp_path / "models/x": "1", tmp_path / "bank.zarr": "2.dir"}
    assert locked_outs(tmp_path) == (again, {tmp_path / "in/films": "3.dir"})
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(InputError, match=r"dvc\.lock: is damaged, expected what DVC writes; `git checkout dvc\.lock`"):
        locked_outs(tmp_path)


def test_files_of_other_programs_are_not_damaged(tmp_path: Path) -> None:
    for name, sidecar in {"a": "[1, 2]", "b": '{"config": 1}', "c": "no JSON"}.items():
        save_checkpoint(tmp_path / f"{name}.safetensors", {"x": torch.ones(3)}, head_checkpoint())
        write_text(tmp_path / f"{name}.json", sidecar)
    (tmp_path / "c.json").unlink()
    write_text(tmp_path / "manifest.json", '{"format": "mine"}')
    assert out_faults(tmp_path) == []


def test_a_bank_within_a_folder_is_looked_at(tmp_path: Path) -> None:
    bank = write_small_bank(tmp_path / "data/bank/train.zarr", {"v": make_rows({0.0: 3})})
    assert out_faults(tmp_path / "data") == []
    flip(bank / "v/detections/features/c/0/0")
    assert str(bank / "v/detections/features/c/0/0") in out_faults(tmp_path / "data")[0]


def test_a_film_is_compared_with_dvc_lock(tmp_path: Path) -> None:
    cache, films = tmp_path / "md5", tmp_path / "data/source/videos"
    films.mkdir(parents=True)
    (films / "a.mp4").write_bytes(b"film")
    (films / "labels.json").write_text("{}")  # may be newer than dvc.lock, and has a checksum
    listing = json.dumps(
        [{"md5": hashlib.md5(b"film").hexdigest(), "relpath": "a.mp4"}, {"md5": "0" * 32, "relpath": "labels.json"}]
    ).encode()
    name = hashlib.md5(listing).hexdigest() + ".dir"
    assert list(changed_sources({films: name}, cache)) == []  # nothing is known
    (cache / name[:2]).mkdir(parents=True)
    (cache / name[:2] / name[2:]).write_bytes(listing)
    assert list(changed_sources({films: name}, cache)) == []
    flip(films / "a.mp4")
    (damage,) = changed_sources({films: name, tmp_path / "data/absent": name}, cache)
    found = hashlib.md5((films / "a.mp4").read_bytes()).hexdigest()
    expected = hashlib.md5(b"film").hexdigest()
    assert damage.fault == f"{films / 'a.mp4'}: is damaged or was changed: md5 is {found}, dvc.lock says {expected}"
    assert damage.remove == films


def test_what_may_not_be_read_is_not_taken_for_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "boxes.parquet"
    path.touch()

    def fail(number: int) -> None:
        def refuse(path: Path) -> None:
            raise OSError(number, "fault", str(path))

        monkeypatch.setattr("pipeline.project.damage.check_values", refuse)

    for number in (errno.EACCES, errno.EMFILE):
        fail(number)
        with pytest.raises(OSError, match="fault"):
            out_faults(tmp_path)
    fail(errno.EIO)  # a bad sector
    assert out_faults(tmp_path) == [f"{path}: fault"]
    frames = write_store(tmp_path / "frames")

    def refuse_map(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.video.store.mapped_bytes", refuse_map)
    with pytest.raises(PermissionError):
        out_faults(frames)

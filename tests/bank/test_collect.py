"""Banks of videos of other banks: whole parts are linked, others are written anew."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.bank.collect import collect_videos
from pipeline.bank.pack import pack_parts
from pipeline.bank.reader import Bank, open_bank, open_parts
from pipeline.base.errors import InputError
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank, write_small_part

FEATURES = "detections/features/c/0/0"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def small(path: Path, names: str) -> Bank:
    rows = {name: make_rows({0.0: 3}, seed=ord(name)) for name in names}
    return open_bank(write_small_bank(path, rows, objects=make_rows({0.0: 2}, seed=1)))


def packed(tmp_path: Path, names: str) -> Bank:
    """All videos in one part."""
    parts = {
        name: write_small_part(tmp_path / "loose" / name, name, make_rows({0.0: 3}, seed=ord(name)), attributes={
            "checkpoint_sha256": PROVENANCE["checkpoint_sha256"],
        }, objects=make_rows({0.0: 2}, seed=2))
        for name in names
    }  # fmt: skip
    return open_parts(pack_parts(parts, 1), PROVENANCE)


def collect(out: Path, *chosen: tuple[Bank, str]) -> Bank:
    collect_videos(out, chosen, split="train", provenance=PROVENANCE, what="collect")
    return open_bank(out)


def same_rows(found: Bank, source: Bank, video: str) -> None:
    for row_set in ("detections", "ground_truth", "objects"):
        one, other = found.rows(video, row_set), source.rows(video, row_set)
        assert one.arrays().keys() == other.arrays().keys()
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])
    assert found.attributes(video) == source.attributes(video)
    assert found.timestamps_seen(video).tolist() == source.timestamps_seen(video).tolist()


def test_parts_that_are_taken_whole_are_the_same_files(tmp_path: Path) -> None:
    one, two = small(tmp_path / "one.zarr", "ab"), small(tmp_path / "two.zarr", "c")
    found = collect(tmp_path / "train.zarr", (one, "a"), (two, "c"))
    assert found.videos == ("a", "c")
    for source, video in ((one, "a"), (two, "c")):
        same_rows(found, source, video)
        assert (found.folders[video] / FEATURES).samefile(source.folders[video] / FEATURES)


def test_of_a_part_of_several_videos_the_chosen_ones_are_written_anew(tmp_path: Path) -> None:
    source = packed(tmp_path, "ac")
    assert len(source.parts) == 1
    found = collect(tmp_path / "train.zarr", (source, "c"))
    assert (found.videos, found.parts) == (("c",), ("c",))
    same_rows(found, source, "c")
    assert collect(tmp_path / "whole.zarr", (source, "ac")).parts == source.parts


def test_a_video_that_another_checkpoint_made_is_refused_and_leaves_no_bank(tmp_path: Path) -> None:
    other = {**PROVENANCE, "checkpoint_sha256": "d" * 64}
    bank = open_bank(write_small_bank(tmp_path / "one.zarr", {"a": make_rows({0.0: 1})}, provenance=other))
    with pytest.raises(InputError, match=r"^video 'a' was made with checkpoint_sha256 'd{64}', the bank with 'c{64}'$"):
        collect(tmp_path / "train.zarr", (bank, "a"))
    assert not (tmp_path / "train.zarr").exists()

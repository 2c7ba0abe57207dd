from pathlib import Path

import pytest

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.diff import diff_banks
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.merge import differing_column
from pipeline.bank.pack import write_packed_part
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.subset import subset_bank
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import InputError
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, write_small_bank, write_small_part

ROWS = {
    "a": make_rows({0.0: 3, 2.0: 70}),
    "b": make_rows({1.0: 2}, seed=1),
    "c": make_rows({1.0: 4, 1.5: 2}, seed=3),
    "d/é": make_rows({}),
}


def packed_bank(path: Path, packs: dict[str, dict[str, FeatureRows]], **changes: object) -> Path:
    """A bank of parts of several videos."""
    work = path.with_suffix(".work")
    folders = {}
    for name, rows in packs.items():
        members = {video: write_small_part(work / name / video, video, each, **changes) for video, each in rows.items()}
        folders[name] = work / f"{name}.pack"
        write_packed_part(folders[name], part=name, members=members)
    assemble_bank(path, parts=folders, split="train", provenance=PROVENANCE)
    return path


def same_videos(one: Bank, other: Bank) -> None:
    for video in one.videos:
        assert differing_column(one, other, video) is None
        assert one.attributes(video) == other.attributes(video)


def test_a_subset_has_the_same_rows_and_files_and_nothing_else(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", ROWS, attributes=ATTRIBUTES))
    some = subset_bank(bank, tmp_path / "some.zarr", ["c", "d/é", "c"])
    assert some.videos == ("c", "d/é")
    assert (some.split, some.provenance, some.channels) == (bank.split, bank.provenance, bank.channels)
    same_videos(some, bank)
    assert verify_bank(tmp_path / "some.zarr") == []
    shard = "c/detections/features/c/0/0"
    assert (tmp_path / "some.zarr" / shard).samefile(tmp_path / "train.zarr" / shard)
    assert {path.name for path in tmp_path.iterdir()} == {"train.zarr", "train.work", "some.zarr"}
    assert some.manifest.parts["c"] == bank.manifest.parts["c"]


def test_all_videos_are_the_same_bank(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", ROWS))
    assert subset_bank(bank, tmp_path / "all.zarr", bank.videos).digest == bank.digest


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_a_part_of_several_videos_is_linked_whole_or_taken_apart(tmp_path: Path, dtype: str) -> None:
    packs = {"pack-0-of-2": {"a": ROWS["a"], "c": ROWS["c"]}, "pack-1-of-2": {"b": ROWS["b"], "e": ROWS["d/é"]}}
    bank = open_bank(packed_bank(tmp_path / "train.zarr", packs, dtype=dtype))
    whole = subset_bank(bank, tmp_path / "whole.zarr", ["a", "c"])
    assert whole.parts == ("pack-0-of-2",)
    mixed = subset_bank(bank, tmp_path / "mixed.zarr", ["a", "b", "c"])
    assert mixed.parts == ("b", "pack-0-of-2")
    for made in (whole, mixed):
        same_videos(made, bank)
        assert verify_bank(Path(made.where)) == []
    # Taken apart, a video is the part that it was packed of.
    loose = open_bank(write_small_bank(tmp_path / "loose.zarr", {"b": ROWS["b"]}, attributes=ATTRIBUTES, dtype=dtype))
    assert mixed.manifest.parts["b"] == loose.manifest.parts["b"]
    assert diff_banks(subset_bank(bank, tmp_path / "b.zarr", ["b"]), loose).same


def test_ids_that_are_not_there_are_named(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", ROWS))
    out = tmp_path / "some.zarr"
    with pytest.raises(InputError) as error:
        subset_bank(bank, out, ["a", "x", "n'o"])
    assert str(error.value) == f"{bank.where}: has no video \"n'o\", 'x'"
    with pytest.raises(InputError, match=r"has no video '0', '1', '2', '3', '4' and 4 more$"):
        subset_bank(bank, out, list("012345678"))
    with pytest.raises(InputError) as error:
        subset_bank(bank, out, [])
    assert str(error.value) == f"{out}: no video is named, expected one at least"
    assert not out.exists()


def test_a_damaged_bank_leaves_no_subset_and_no_rest(tmp_path: Path) -> None:
    path = write_small_bank(tmp_path / "train.zarr", ROWS)
    (path / "a/detections/score/c/0").unlink()
    with pytest.raises((InputError, FileNotFoundError)):
        subset_bank(open_bank(path), tmp_path / "some.zarr", ["a"])
    assert {each.name for each in tmp_path.iterdir()} == {"train.zarr", "train.work"}

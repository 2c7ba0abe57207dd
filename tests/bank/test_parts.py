"""Finished parts are what their records say, and only parts that are alike stand in one bank."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.bank.format import PART_RECORD
from pipeline.bank.parts import (
    NO_DIGEST,
    check_alike,
    check_metadata,
    check_shard_sizes,
    check_stored,
    combine_parts,
    read_part_record,
    video_attributes,
    video_seconds,
)
from pipeline.base.checksums import REMEDY
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import write_bytes
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, write_small_part

TIMESTAMP = "detections/timestamp/c/0"


def part(folder: Path, name: str = "v", *, channels: int = 4, **changes: Any) -> Path:
    return write_small_part(folder, name, make_rows({0.0: 3}, channels=channels), **changes)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = read_part_record(part(tmp_path / "v"), "v")
    assert (record.part, record.channels, record.dtype, record.codec) == ("v", 4, "float16", "none")
    assert record.entry.videos["v"] == {"detections": 3, "ground_truth": 2}
    assert video_attributes(record.attributes, "v", "x") == ATTRIBUTES
    assert video_seconds(record.attributes, "v", "x") == [0.0, 1.0, 2.0]
    check_stored(tmp_path / "v", record.entry, "x")


def test_what_is_no_finished_part_is_refused(tmp_path: Path) -> None:
    folder = part(tmp_path / "v")
    with pytest.raises(InputError, match=f"^{re.escape(str(folder / PART_RECORD))}: holds part 'v', expected 'w'$"):
        read_part_record(folder, "w")
    (folder / PART_RECORD).unlink()
    with pytest.raises(InputError) as error:
        read_part_record(folder, "v")
    assert str(error.value) == f"{folder}: not a finished part: part.json is missing (it is written last)"


def test_what_all_videos_have_in_common_stands_beside_them() -> None:
    own = {"a": {"attributes": {"frames": 3, "rate": 5}, "timestamps_seen": [1.5]}}
    attributes = {"part": "p", "rate": 4, "recipe": "tiny", "videos": own}
    assert video_attributes(attributes, "a", "x") == {"rate": 5, "recipe": "tiny", "frames": 3}
    for read in (video_attributes, video_seconds):
        with pytest.raises(InputError, match=r"^x"):
            read(attributes, "b", "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 6}, "parts of one bank differ in channels: 'a' has 4, 'b' has 6"),
        ({"dtype": "fp32"}, "parts of one bank differ in dtype: 'a' has float16, 'b' has float32"),
        ({"codec": "zstd"}, "parts of one bank differ in codec: 'a' has none, 'b' has zstd"),
    ],
)
def test_parts_of_one_bank_are_alike(tmp_path: Path, changes: dict, message: str) -> None:
    one, other = part(tmp_path / "a", "a"), part(tmp_path / "b", "b", **changes)
    check_alike([read_part_record(one, "a")] * 2)
    with pytest.raises(InputError) as error:
        check_alike([read_part_record(one, "a"), read_part_record(other, "b")])
    assert str(error.value) == message


def test_a_manifest_of_parts_names_them_sorted_and_has_no_digest_yet(tmp_path: Path) -> None:
    folders = {name: part(tmp_path / name, name) for name in ("b", "a")}
    manifest = combine_parts(folders, split="val", provenance=PROVENANCE)
    assert list(manifest.parts) == ["a", "b"]
    assert (manifest.split, manifest.provenance, manifest.metadata_sha256) == ("val", PROVENANCE, NO_DIGEST)
    with pytest.raises(InputError, match=r"^a bank of split 'val' has no parts, expected at least one$"):
        combine_parts({}, split="val", provenance=PROVENANCE)
    with pytest.raises(InputError) as error:
        combine_parts(folders, split="val", provenance={**PROVENANCE, "checkpoint_sha256": "d" * 64})
    assert str(error.value) == (f"video 'a' was made with checkpoint_sha256 '{'c' * 64}', the bank with '{'d' * 64}'")


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (Path.unlink, InputError, r"x: detections: the shard of timestamp is missing, expected \d+ bytes"),
        (
            lambda path: write_bytes(path, path.read_bytes()[:-1]),
            InputError,
            r"x: detections: the shard of timestamp has \d+ bytes, expected \d+",
        ),
        (
            lambda path: write_bytes(path, b"\1" + path.read_bytes()[1:]),
            DamagedError,
            rf"{TIMESTAMP}: is damaged: CRC32C is \w{{8}}, was written with \w{{8}}",
        ),
    ],
)
def test_files_that_are_not_those_of_the_record(
    tmp_path: Path, harm: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    folder = part(tmp_path / "v")
    record = read_part_record(folder, "v")
    harm(folder / TIMESTAMP)
    with pytest.raises(error, match=f"{message}; {re.escape(REMEDY)}"):
        check_stored(folder, record.entry, "x")
    if error is DamagedError:  # sizes are looked at without a byte being read
        check_shard_sizes(folder / "detections", record.entry.row_sets["detections"], "x")


def test_metadata_that_is_missing_or_other(tmp_path: Path) -> None:
    folder = part(tmp_path / "v")
    entry, path = read_part_record(folder, "v").entry, folder / "zarr.json"
    write_bytes(path, path.read_bytes() + b" ")
    with pytest.raises(
        DamagedError, match=rf"zarr\.json: is damaged: sha256 is \w{{64}}, expected {entry.metadata_sha256}"
    ):
        check_metadata(path, entry)
    path.unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: no such file$"):
        check_metadata(path, entry)

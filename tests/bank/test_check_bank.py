from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from pipeline.bank.check_bank import list_missing, verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.format import MANIFEST
from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.base.files import write_bytes
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, reseal_bank, write_small_bank


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    return write_small_bank(
        tmp_path / "train.zarr", {"a": make_rows({0.0: 3, 2.0: 4}), "b": make_rows({})}, attributes=ATTRIBUTES
    )


def flip_byte(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    write_bytes(path, bytes(data))


def lines(path: Path) -> list[str]:
    return [str(each).removeprefix(f"{path}: ") for each in verify_bank(path)]


def test_a_whole_bank_has_no_findings(bank_path: Path) -> None:
    assert verify_bank(bank_path) == []


DAMAGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a feature": (
        lambda path: flip_byte(path / "a/detections/features/c/0/0"),
        ["part 'a': detections: found digest "],
    ),
    "the padding of a shard": (
        lambda path: flip_byte(path / "a/detections/features/c/0/0", 63 * 8),
        ["part 'a': detections: found digest "],
    ),
    "an array's metadata": (
        lambda path: flip_byte(path / "a/ground_truth/timestamp/zarr.json", 30),
        ["part 'a': ground_truth: found digest ", "part 'a': ground_truth: timestamp/zarr.json: found "],
    ),
    "a shard cut short": (
        lambda path: write_bytes(path / "a/detections/score/c/0", b"x"),
        [
            "part 'a': detections: found digest ",
            "part 'a': detections: found detections: the shard of score has 1 bytes, expected 276, "
            "expected readable arrays",
        ],
    ),
    "a shard gone": (
        lambda path: (path / "a/detections/score/c/0").unlink(),
        ["part 'a': detections/score/c/0: found no file, expected a file of the part"],
    ),
    "a file too many": (
        lambda path: write_bytes(path / "b/detections/score/c/0", b"x"),
        ["part 'b': detections/score/c/0: found a file of no array, expected only what manifest.json lists"],
    ),
    "a part's metadata": (
        lambda path: flip_byte(path / "a/zarr.json", 1),
        [
            "part 'a': zarr.json: found sha256 ",
            "part 'a': detections: found ",  # the seconds seen cannot be read
        ],
    ),
    "the root's metadata": (lambda path: flip_byte(path / "zarr.json", 1), ["zarr.json: found sha256 "]),
    "no root": (lambda path: (path / "zarr.json").unlink(), ["zarr.json: found sha256 no file, expected "]),
    "a part gone": (
        lambda path: (path / "b").rename(path.parent / "b"),
        ["part 'b': found no folder, expected a part of the manifest"],
    ),
    "a stray folder": (
        lambda path: (path / "c").mkdir(),
        ["c: found a file or folder of no part, expected only what manifest.json lists"],
    ),
    "two parts exchanged": (
        lambda path: [(path / old).rename(path / new) for old, new in (("a", "x"), ("b", "a"), ("x", "b"))],
        ["part 'a': ", "part 'b': "],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found(bank_path: Path, damage: str) -> None:
    harm, expected = DAMAGES[damage]
    harm(bank_path)
    found = lines(bank_path)
    for start in expected:
        assert any(line.startswith(start) for line in found), found
    assert all(line.startswith(tuple(expected)) for line in found), found


def test_a_bank_without_a_manifest_cannot_be_verified(bank_path: Path) -> None:
    (bank_path / MANIFEST).unlink()
    with pytest.raises(InputError, match=r"half a bank: manifest\.json is missing"):
        verify_bank(bank_path)


def test_wrong_values_are_found_under_right_digests(bank_path: Path) -> None:
    group = zarr.open_group(str(bank_path), mode="r+")
    detections = group["a/detections"]
    detections["features"][1, 2] = np.nan
    detections["score"][:2] = [0.6, 0.95]
    detections["score"][6] = 0.25
    detections["timestamp"][2] = 0.5
    group["b"].attrs["part"] = "c"
    group.attrs["split"] = "test"
    reseal_bank(bank_path)
    assert lines(bank_path) == [
        "zarr.json: found other provenance or split, expected those of manifest.json",
        "part 'a': detections: video 'a': features: found 1 rows that are not finite, the first is 1, "
        "expected finite numbers",
        "part 'a': detections: video 'a': order: found row 0 out of place, "
        "expected sorted by timestamp, score descending, box",
        "part 'a': detections: video 'a': timestamp: found 0.5, expected one of timestamps_seen",
        "part 'a': detections: video 'a': score: found 0.25 in row 6, expected at least 0.5",
        "part 'b': zarr.json: found part 'c', expected 'b'",
    ]


def test_metadata_of_another_shape_is_found_under_right_digests(bank_path: Path) -> None:
    path = bank_path / "a/detections/score/zarr.json"
    write_bytes(path, path.read_bytes().replace(b"float32", b"float64"))
    reseal_bank(bank_path)
    assert lines(bank_path) == ["part 'a': detections: score/zarr.json: found float64 [7], expected float32 [7]"]


def test_a_score_that_rounds_to_the_threshold_is_no_finding(tmp_path: Path) -> None:
    """0.9 is stored as float32 0.89999998."""
    rows = FeatureRows(np.ones((1, 4)), np.zeros(1), np.zeros((1, 4)), np.array([0.9]))
    path = write_small_bank(tmp_path / "x.zarr", {"v": rows}, provenance={**PROVENANCE, "box_threshold": 0.9})
    assert verify_bank(path) == []


def test_what_a_bank_lacks_is_listed(bank_path: Path, tmp_path: Path) -> None:
    assert list_missing(open_bank(bank_path)) == []
    (bank_path / "a/detections/score/c/0").unlink()
    assert list_missing(open_bank(bank_path)) == [
        "part 'a': detections: the shard of score is missing, expected 276 bytes"
    ]
    bare = FeatureRows(np.ones((1, 4)), np.zeros(1), np.full((1, 4), np.nan))
    path = write_small_bank(
        tmp_path / "bare.zarr", {"v": bare, "w": bare}, provenance={"box_threshold": 0.9}, ground_truth=None
    )
    assert list_missing(open_bank(path)) == [
        "provenance: recipe",
        "provenance: checkpoint_sha256",
        "provenance: pooling",
        "provenance: box_source",
        "provenance: seconds",
        "provenance: compute_dtype",
        "provenance: frames_sha256",
        "detections: no boxes_xyxy in 2 of 2 parts",
        "detections: no score in 2 of 2 parts",
        "ground_truth: not of 2 of 2 videos",
    ]

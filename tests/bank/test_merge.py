from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.merge import differing_column, merge_banks
from pipeline.bank.reader import open_bank
from pipeline.bank.subset import subset_bank
from pipeline.base.errors import InputError
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.bank.test_subset import packed_bank

ROWS = {name: make_rows({0.0: 3, 2.0: seed}, seed=seed) for seed, name in enumerate("abcde")}


def some(names: str) -> dict[str, FeatureRows]:
    return {name: ROWS[name] for name in names}


def refusal(tmp_path: Path, *paths: Path) -> str:
    out = tmp_path / "merged.zarr"
    with pytest.raises(InputError) as error:
        merge_banks([open_bank(path) for path in paths], out)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    return str(error.value)


def test_the_parts_of_several_banks_are_those_of_one(tmp_path: Path) -> None:
    whole = open_bank(write_small_bank(tmp_path / "whole.zarr", ROWS))
    banks = [open_bank(write_small_bank(tmp_path / f"{names}.zarr", some(names))) for names in ("ab", "cd", "be")]
    merged, shared = merge_banks(banks, tmp_path / "merged.zarr")
    assert merged.digest == whole.digest
    assert shared == 1
    assert verify_bank(tmp_path / "merged.zarr") == []
    shard = "a/detections/features/c/0/0"
    assert (tmp_path / "merged.zarr" / shard).samefile(tmp_path / "ab.zarr" / shard)
    assert not list(tmp_path.glob(".*"))


@settings(deadline=None, max_examples=4)
@given(cut=st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=2, max_size=4))
def test_subsets_merged_are_the_subset_of_their_union(scratch: Path, cut: list[set[str]]) -> None:
    whole = scratch / "whole.zarr"
    bank = open_bank(whole if whole.exists() else write_small_bank(whole, ROWS))
    pieces = [subset_bank(bank, scratch / f"{number}.zarr", sorted(names)) for number, names in enumerate(cut)]
    merged, _ = merge_banks(pieces, scratch / "merged.zarr")
    assert merged.digest == subset_bank(bank, scratch / "union.zarr", sorted(set().union(*cut))).digest


def test_provenance_of_the_films_becomes_a_list_where_it_differs(tmp_path: Path) -> None:
    paths = [
        write_small_bank(tmp_path / f"{name}.zarr", some(name), provenance={**PROVENANCE, "frames_sha256": name * 64})
        for name in "cab"
    ]
    first, _ = merge_banks([open_bank(path) for path in paths[:2]], tmp_path / "first.zarr")
    assert first.provenance == {**PROVENANCE, "frames_sha256": ["a" * 64, "c" * 64]}
    second, _ = merge_banks([first, open_bank(paths[2]), first], tmp_path / "second.zarr")
    assert second.provenance["frames_sha256"] == ["a" * 64, "b" * 64, "c" * 64]


CONFLICTS: dict[str, tuple[dict[str, Any], str]] = {
    "split": ({"split": "val"}, "split is 'train' and 'val'"),
    "codec": ({"codec": "zstd"}, "codec is 'none' and 'zstd'"),
    "dtype": ({"dtype": "fp32"}, "dtype is 'float16' and 'float32'"),
    "setting": ({"provenance": {**PROVENANCE, "box_threshold": 0.25}}, "box_threshold is 0.5 and 0.25"),
    "producer": (
        {"provenance": {**PROVENANCE, "checkpoint_sha256": "d" * 64, "recipe": "other"}},
        f"checkpoint_sha256 is '{'c' * 64}' and '{'d' * 64}'; recipe is 'tiny' and 'other'",
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_banks_that_were_made_otherwise_are_refused(tmp_path: Path, name: str) -> None:
    changes, reason = CONFLICTS[name]
    one = write_small_bank(tmp_path / "a.zarr", some("a"))
    other = write_small_bank(tmp_path / "b.zarr", some("b"), **changes)
    assert refusal(tmp_path, one, other) == f"{one} and {other} cannot be one bank: {reason}"


def test_other_channels_are_refused(tmp_path: Path) -> None:
    one = write_small_bank(tmp_path / "a.zarr", some("a"))
    other = write_small_bank(tmp_path / "b.zarr", {"b": make_rows({0.0: 1}, channels=5)})
    assert refusal(tmp_path, one, other) == f"{one} and {other} cannot be one bank: channels is 4 and 5"


def changed(rows: FeatureRows) -> FeatureRows:
    features = rows.features.copy()
    features[0, 0] += 1
    return replace(rows, features=features)


@pytest.mark.parametrize(
    ("other", "changes", "what"),
    [
        (changed(ROWS["c"]), {}, "features of detections"),
        (replace(ROWS["c"], score=None), {}, "score of detections"),
        (ROWS["c"], {"ground_truth": None}, "rows of ground_truth"),
        (ROWS["c"], {"ground_truth": make_rows({1.0: 2}, seed=9, scored=False)}, "boxes_xyxy of ground_truth"),
        (ROWS["c"], {"seconds_seen": [0.0, 2.0, 7.0]}, "timestamps_seen"),
    ],
)
def test_a_video_with_other_bytes_is_refused(
    tmp_path: Path, other: FeatureRows, changes: dict[str, Any], what: str
) -> None:
    one = write_small_bank(tmp_path / "a.zarr", some("ac"))
    two = write_small_bank(tmp_path / "b.zarr", {"b": ROWS["b"], "c": other}, **changes)
    assert refusal(tmp_path, one, two) == f"video 'c' has other {what} in {one} than in {two}"


def test_packed_parts_are_linked_or_taken_apart_where_two_have_one_name(tmp_path: Path) -> None:
    one = open_bank(packed_bank(tmp_path / "a.zarr", {"pack-0-of-1": some("ab")}))
    other = open_bank(packed_bank(tmp_path / "b.zarr", {"pack-0-of-1": some("cd")}))
    third = open_bank(packed_bank(tmp_path / "c.zarr", {"pack-0-of-3": some("be")}))
    mixed, shared = merge_banks([one, third], tmp_path / "mixed.zarr")
    assert (mixed.parts, shared) == (("e", "pack-0-of-1"), 1)
    loose, _ = merge_banks([one, other, third], tmp_path / "loose.zarr")
    assert loose.parts == ("a", "b", "c", "d", "e")
    for made in (mixed, loose):
        assert verify_bank(Path(made.where)) == []
        for bank in (one, other, third):
            for video in set(bank.videos) & set(made.videos):
                assert differing_column(bank, made, video) is None

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.feature_rows import FeatureRows
from pipeline.bank.format import PART_RECORD
from pipeline.bank.reader import open_bank
from pipeline.bank.writer import assemble_bank
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, files_below
from tests.bank.banks import ATTRIBUTES, PROVENANCE, make_rows, write_small_bank, write_small_part


def one_row(feature: float = 1.0, **changes: Any) -> FeatureRows:
    values: dict[str, Any] = {
        "features": np.array([[0.0, feature]]),
        "timestamp": np.array([1.0]),
        "boxes_xyxy": np.array([[0.1, 0.2, 0.3, 0.4]]),
        "score": np.array([0.9]),
    }
    return FeatureRows(**{**values, **changes})


def test_rows_check_and_print_their_shapes() -> None:
    assert repr(one_row()) == (
        "FeatureRows(features=float64[1, 2], timestamp=float64[1], boxes_xyxy=float64[1, 4], score=float64[1])"
    )
    with pytest.raises(ValueError, match=re.escape("boxes_xyxy has shape (1, 3), expected (1, 4)")):
        one_row(boxes_xyxy=np.zeros((1, 3)))
    with pytest.raises(ValueError, match=re.escape("score has shape (2,), expected (1,)")):
        one_row(score=np.zeros(2))
    for features in (np.zeros((2, 2)), np.zeros(1), np.zeros((1, 0))):
        with pytest.raises(ValueError, match=r"features have shape .*, expected \(1, channels\)"):
            one_row(features=features)


def test_plain_zarr_reads_a_bank(tmp_path: Path) -> None:
    rows = make_rows({0.0: 3, 2.0: 70}, tracked=True)
    path = write_small_bank(tmp_path / "train.zarr", {"a/b": rows, "c": make_rows({})}, attributes=ATTRIBUTES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(str(path), mode="r")
        part = group["a%2Fb"]
        detections = {name: array[...] for name, array in part["detections"].arrays()}
    with pytest.warns(UserWarning, match=r"manifest\.json is not recognized"):
        assert sorted(group.group_keys()) == ["a%2Fb", "c"]
    assert group.attrs["provenance"] == PROVENANCE
    assert group.attrs["split"] == "train"
    video = {"rows": {"detections": 73, "ground_truth": 2}, "timestamps_seen": [0.0, 1.0, 2.0], "attributes": {}}
    assert dict(part.attrs) == {**ATTRIBUTES, "part": "a/b", "videos": {"a/b": video}}
    assert {name: (array.dtype.name, array.shape) for name, array in detections.items()} == {
        "features": ("float16", (73, 4)),
        "timestamp": ("float64", (73,)),
        "boxes_xyxy": ("float64", (73, 4)),
        "score": ("float32", (73,)),
        "track_id": ("int64", (73,)),
    }
    order = rows.order()
    np.testing.assert_array_equal(detections["features"], rows.features[order].astype(np.float16))
    np.testing.assert_array_equal(detections["boxes_xyxy"], rows.boxes_xyxy[order])
    assert sorted(part["ground_truth"].array_keys()) == ["boxes_xyxy", "features", "timestamp"]
    assert group["c/detections/features"].shape == (0, 4)
    assert part["detections/features"].metadata.dimension_names == ("row", "channel")


def test_every_array_is_one_shard(tmp_path: Path) -> None:
    folder = write_small_part(tmp_path / "part", "v", make_rows({0.0: 200}))
    shards = [str(name) for name in files_below(folder / "detections") if name.name != "zarr.json"]
    assert shards == ["boxes_xyxy/c/0/0", "features/c/0/0", "score/c/0", "timestamp/c/0"]
    array = zarr.open_array(str(folder / "detections/features"), mode="r")
    assert (array.shards, array.chunks) == ((256, 4), (64, 4))


def test_rows_are_sorted_by_time_score_and_box(tmp_path: Path) -> None:
    rows = FeatureRows(
        np.arange(5.0)[:, None],
        np.array([2.0, 1.0, 1.0, 1.0, 1.0]),
        np.array([[0, 0, 1, 1], [0.5, 0, 1, 1], [0.2, 0, 1, 1], [0.2, 0, 0.9, 1], [0, 0, 1, 1]], np.float64),
        # The last two are the same float32, so that their boxes decide.
        np.array([0.9, 0.6, 0.7, 0.8, 0.8 + 1e-12]),
    )
    path = write_small_bank(tmp_path / "train.zarr", {"v": rows}, ground_truth=None)
    assert open_bank(path).rows("v", "detections").features[:, 0].tolist() == [4, 3, 2, 1, 0]
    assert verify_bank(path) == []


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path, codec: str, dtype: str) -> None:
    rows = make_rows({0.0: 40, 1.0: 40}, tracked=True, channels=32)
    shuffled = rows.take(np.random.default_rng(1).permutation(len(rows)))
    for name, each in (("one", rows), ("two", shuffled)):
        write_small_bank(tmp_path / name, {"v": each, "w": make_rows({}, channels=32)}, codec=codec, dtype=dtype)
    assert digest_tree(tmp_path / "one") == digest_tree(tmp_path / "two")
    assert open_bank(tmp_path / "one").digest == open_bank(tmp_path / "two").digest


def test_changing_ground_truth_leaves_detections_byte_identical(tmp_path: Path) -> None:
    rows = make_rows({0.0: 5, 1.0: 2})
    for name, truth in (("one", make_rows({1.0: 3}, scored=False)), ("two", None)):
        write_small_part(tmp_path / name, "v", rows, ground_truth=truth)
    assert digest_tree(tmp_path / "one/detections") == digest_tree(tmp_path / "two/detections")
    assert (tmp_path / "one/ground_truth").is_dir()
    assert not (tmp_path / "two/ground_truth").exists()


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
def test_rows_of_zeros_are_stored(tmp_path: Path, codec: str) -> None:
    rows = FeatureRows(np.zeros((130, 3)), np.zeros(130), np.zeros((130, 4)), np.zeros(130), np.full(130, -1))
    folder = write_small_part(tmp_path / "part", "v", rows, codec=codec, seconds_seen=[0.0])
    for shard in ("features/c/0/0", "timestamp/c/0", "score/c/0", "track_id/c/0"):
        assert (folder / "detections" / shard).stat().st_size > 3 * 16
    assert zarr.open_group(str(folder), mode="r")["detections/features"][...].any() == np.False_


def test_a_missing_shard_reads_as_nan_in_plain_zarr_not_as_zeros(tmp_path: Path) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {"v": make_rows({0.0: 3})})
    (path / "v/detections/features/c/0/0").unlink()
    assert np.isnan(zarr.open_group(str(path), mode="r")["v/detections/features"][...]).all()


def test_fp16_overflow_is_refused_and_fp32_takes_it(tmp_path: Path) -> None:
    message = (
        "part 'v': detections: the feature at timestamp 1, channel 1 is -65520, "
        "which is too large for float16; set bank.dtype=fp32"
    )
    with pytest.raises(InputError, match=f"^{message}$"):
        write_small_part(tmp_path / "part", "v", one_row(-65520.0))
    assert list(tmp_path.iterdir()) == []
    write_small_part(tmp_path / "part", "v", one_row(65504.0))
    write_small_part(tmp_path / "part", "v", one_row(-65520.0), dtype="fp32")
    assert zarr.open_group(str(tmp_path / "part"), mode="r")["detections/features"][0, 1] == -65520


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (one_row(np.nan), "the feature at timestamp 1, channel 1 is nan, which is not finite"),
        (one_row(np.inf), "the feature at timestamp 1, channel 1 is inf, which is not finite"),
        (one_row(score=np.array([np.nan])), "score of row 0 holds nan, expected finite numbers"),
        (
            one_row(boxes_xyxy=np.array([[0, 0, np.inf, 1]])),
            "boxes_xyxy of row 0 holds [ 0.  0. inf  1.], exp",
        ),
        (
            one_row(boxes_xyxy=np.array([[0, 0, np.nan, 1]])),
            "boxes_xyxy of row 0 holds [ 0.  0. nan  1.], exp",
        ),
    ],
)
def test_values_that_are_not_finite_are_refused(tmp_path: Path, rows: FeatureRows, message: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(f"part 'v': detections: {message}")):
        write_small_part(tmp_path / "part", "v", rows, dtype="fp32")
    assert list(tmp_path.iterdir()) == []


def test_seconds_must_cover_the_rows(tmp_path: Path) -> None:
    message = "^part 'v': detections stand at timestamp 1.0, which is not among the seconds seen$"
    with pytest.raises(InputError, match=message):
        write_small_part(tmp_path / "part", "v", one_row(), seconds_seen=[0.0, 2.0])
    with pytest.raises(InputError, match=r"^part 'v': the seconds seen hold nan, expected finite numbers$"):
        write_small_part(tmp_path / "part", "v", one_row(), seconds_seen=[1.0, np.nan])


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype 'fp8' or codec 'none' is unknown"):
        write_small_part(tmp_path / "part", "v", one_row(), dtype="fp8")
    with pytest.raises(ValueError, match="attributes may not name part or videos or timestamps_seen"):
        write_small_part(tmp_path / "part", "v", one_row(), attributes={"part": "x"})
    with pytest.raises(ValueError, match="row sets have different channels"):
        write_small_part(tmp_path / "part", "v", one_row(), ground_truth=make_rows({1.0: 1}, channels=7))


def test_boxes_that_nobody_knows_are_left_out_and_read_as_nan(tmp_path: Path) -> None:
    rows = one_row(boxes_xyxy=np.full((1, 4), np.nan))
    path = write_small_bank(tmp_path / "train.zarr", {"v": rows})
    assert not (path / "v/detections/boxes_xyxy").exists()
    bank = open_bank(path)
    assert np.isnan(bank.rows("v", "detections").boxes_xyxy).all()
    assert bank.column("v", "detections", "boxes_xyxy") is None
    assert verify_bank(path) == []


def test_a_bank_is_linked_not_copied_and_replaced_whole(tmp_path: Path) -> None:
    part = write_small_part(tmp_path / "part", "v", one_row())
    path = tmp_path / "train.zarr"
    for provenance in (PROVENANCE, {**PROVENANCE, "note": 2}):
        assemble_bank(path, parts={"v": part}, split="train", provenance=provenance)
        assert open_bank(path).provenance == provenance
    shard = "detections/features/c/0/0"
    assert (path / "v" / shard).samefile(part / shard)
    assert not (path / "v" / PART_RECORD).exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["part", "train.zarr"]


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    def refused(parts: dict[str, Path], message: str, **provenance: Any) -> None:
        path = tmp_path / "train.zarr"
        with pytest.raises(InputError, match="^" + re.escape(message)):
            assemble_bank(path, parts=parts, split="train", provenance={**PROVENANCE, **provenance})
        assert not path.exists()

    a = write_small_part(tmp_path / "a", "a", make_rows({1.0: 2}))
    wide = write_small_part(tmp_path / "wide", "b", make_rows({1.0: 2}, channels=6))
    fp32 = write_small_part(tmp_path / "fp32", "b", make_rows({1.0: 2}), dtype="fp32")
    packed = write_small_part(tmp_path / "packed", "b", make_rows({1.0: 2}), codec="zstd")
    other = write_small_part(tmp_path / "other", "b", make_rows({1.0: 2}), attributes={"checkpoint_sha256": "d" * 64})
    refused({}, "a bank of split 'train' has no parts, expected at least one")
    refused({"a": a, "b": wide}, "parts of one bank differ in channels: 'a' has 4, 'b' has 6")
    refused({"a": a, "b": fp32}, "parts of one bank differ in dtype: 'a' has float16, 'b' has float32")
    refused({"a": a, "b": packed}, "parts of one bank differ in codec: 'a' has none, 'b' has zstd")
    found, expected = repr("d" * 64), repr("c" * 64)
    refused({"a": a, "b": other}, f"video 'b' was made with checkpoint_sha256 {found}, the bank with {expected}")
    refused(
        {"a": a},
        f"video 'a' was made with checkpoint_sha256 {expected}, the bank with None",
        checkpoint_sha256=None,
    )
    refused({"b": a}, f"{a}/part.json: holds part 'a', expected 'b'")
    refused({"a": tmp_path}, f"{tmp_path}: not a finished part: part.json is missing (it is written last)")
    write_small_part(tmp_path / "pool", "p", make_rows({1.0: 2}), attributes={**ATTRIBUTES, "pooling": "max"})
    refused({"p": tmp_path / "pool"}, "video 'p' was made with pooling 'max', the bank with 'average, max'")
    (a / "detections/score/c/0").unlink()
    refused({"a": a}, "part 'a': detections: the shard of score is missing, expected 276 bytes")


def test_the_films_of_one_split_may_have_their_own_digest(tmp_path: Path) -> None:
    part = write_small_part(
        tmp_path / "a", "a", make_rows({1.0: 2}), attributes={**ATTRIBUTES, "frames_sha256": "1" * 64}
    )
    assemble_bank(tmp_path / "train.zarr", parts={"a": part}, split="train", provenance=PROVENANCE)
    assert open_bank(tmp_path / "train.zarr").attributes("a")["frames_sha256"] == "1" * 64


def test_a_video_that_nobody_looked_at_is_a_part(tmp_path: Path) -> None:
    empty = make_rows({})
    path = write_small_bank(tmp_path / "train.zarr", {"v": empty}, ground_truth=empty, seconds_seen=[])
    bank = open_bank(path)
    assert len(bank.timestamps_seen("v")) == bank.count("detections") == bank.count("ground_truth") == 0
    assert verify_bank(path) == []

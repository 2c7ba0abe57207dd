"""An array is one shard: mapped where its rows lie in order, decoded by Zarr where they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipeline.bank import arrays
from pipeline.bank.arrays import create_group, read_array, write_array
from pipeline.bank.format import CHUNK_ROWS, CODECS, shard_name
from pipeline.base.errors import InputError
from pipeline.base.files import files_below

ROWS = 2 * CHUNK_ROWS + 3


def written(folder: Path, values: np.ndarray, codec: str = "none") -> Path:
    write_array(create_group(folder), "features", values, codec)
    return folder


def features() -> np.ndarray:
    return np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)


def read(folder: Path, codec: str = "none", **changes: Any) -> np.ndarray:
    return read_array(folder, "features", **{"dtype": "float32", "shape": (ROWS, 3), "codec": codec, **changes})


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "rows", [slice(None), slice(5, 5), slice(CHUNK_ROWS - 1, CHUNK_ROWS + 1), slice(ROWS - 1, None)]
)
def test_any_rows_are_read_as_they_were_written(tmp_path: Path, codec: str, rows: slice) -> None:
    found = read(written(tmp_path, features(), codec), codec, rows=rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, features()[rows])


def test_an_uncompressed_array_is_a_mapping_that_changes_no_file(tmp_path: Path) -> None:
    found = read(written(tmp_path, features()))
    assert isinstance(found.base, np.memmap)
    found[:] = 0
    np.testing.assert_array_equal(read(tmp_path), features())


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, ROWS])
@pytest.mark.parametrize(("name", "dtype", "width"), [
    ("features", "float16", (3,)), ("boxes_xyxy", "float64", (4,)), ("score", "float32", ()), ("track_id", "int64", ()),
])  # fmt: skip
def test_an_uncompressed_array_has_the_bytes_that_zarr_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dtype: str, width: tuple[int, ...], rows: int
) -> None:
    values = np.arange(rows * int(np.prod(width))).reshape(rows, *width).astype(dtype)
    attributes = {"part": "é", "videos": {"a": [0.5, 1]}}
    write_array(create_group(tmp_path / "ours", attributes), name, values, "none")
    monkeypatch.setattr(arrays, "_array_text", lambda *_: "")  # as for a zarr that formats JSON in another way
    monkeypatch.setattr(arrays, "_group_text", lambda: "")
    write_array(create_group(tmp_path / "zarrs", attributes), name, values, "none")
    ours, zarrs = (
        {str(file): (tmp_path / side / file).read_bytes() for file in files_below(tmp_path / side)}
        for side in ("ours", "zarrs")
    )
    assert ours == zarrs
    assert (shard_name(name) in ours) == bool(rows)


def test_an_array_without_rows_has_no_shard(tmp_path: Path) -> None:
    written(tmp_path, features()[:0])
    assert not (tmp_path / shard_name("features")).exists()
    assert read(tmp_path, shape=(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(("dtype", "missing"), [("float32", np.nan), ("int64", -1)])
def test_zeros_are_kept_and_what_is_missing_reads_as_no_number(tmp_path: Path, dtype: str, missing: float) -> None:
    write_array(create_group(tmp_path), "score", np.zeros(3, dtype), "zstd")
    assert zarr.open_array(str(tmp_path / "score"), mode="r")[:].tolist() == [0, 0, 0]
    (tmp_path / shard_name("score")).unlink()
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "score"), mode="r")[:], np.full(3, missing))


def test_an_array_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    written(tmp_path, features(), "zstd")
    with pytest.raises(InputError) as error:
        read(tmp_path, "zstd", dtype="float16")
    assert str(error.value) == (
        f"{tmp_path / 'features'}: array is float32 ({ROWS}, 3), the manifest says float16 ({ROWS}, 3)"
    )
    with pytest.raises(InputError, match="nothing: not a readable Zarr array: "):
        read_array(tmp_path, "nothing", "float32", (ROWS, 3), codec="zstd")

"""One array of a bank on disk: a Zarr v3 array in exactly one shard.

Arrays are written by zarr-python, which replaces files atomically. An uncompressed shard holds its rows in order and
then the index of its chunks. Mapping this file into memory is 15 times faster than decoding it, and all processes
share the page cache. If the index shows another layout, or the bank has a codec, zarr reads the array.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from pipeline.bank.format import CHUNK_ROWS, shard_name
from pipeline.base.errors import InputError

DIMENSIONS = {"features": ("row", "channel"), "boxes_xyxy": ("row", "coordinate")}


def create_group(folder: Path, attributes: dict[str, Any] | None = None) -> Any:
    """Make an empty Zarr v3 group in `folder` and return it."""
    return zarr.create_group(store=str(folder), zarr_format=3, attributes=attributes or {})


def write_array(group: Any, name: str, values: npt.NDArray[Any], codec: str) -> None:
    """Write `values` into `group` as one shard of chunks of `CHUNK_ROWS` rows; without rows no shard is written.

    The fill value is NaN (-1 for ids), and chunks that hold only fill values are written too. So a zero in a bank is
    always one that was written, and a Zarr reader that misses the shard sees NaN.
    """
    chunks = max(1, -(-len(values) // CHUNK_ROWS))
    compressors = {
        "none": None,
        "zstd": ZstdCodec(level=1),
        "lz4": BloscCodec(cname="lz4", shuffle="bitshuffle"),
    }
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(CHUNK_ROWS, *values.shape[1:]),
        shards=(CHUNK_ROWS * chunks, *values.shape[1:]),
        filters=None,
        compressors=compressors[codec],
        fill_value=-1 if values.dtype.kind == "i" else float("nan"),
        dimension_names=DIMENSIONS.get(name, ("row",)),
        config={"write_empty_chunks": True},
    )
    if len(values):
        array[...] = values


def read_array(
    folder: Path, name: str, dtype: str, shape: tuple[int, ...], *, codec: str, rows: slice = slice(None)
) -> npt.NDArray[Any]:
    """Read some rows of the array `name` of the row set in `folder`; the array has type `dtype` and shape `shape`.

    An uncompressed array is a private mapping of its file: data is read when it is used, and writing to the result
    changes no file.

    Raises:
        InputError: the array cannot be decoded or has another shape or type.
    """
    first, last, _ = rows.indices(shape[0])
    if first == last:
        return np.empty((0, *shape[1:]), dtype)
    mapped = _map_shard(folder / shard_name(name), np.dtype(dtype), shape, first, last) if codec == "none" else None
    if mapped is not None:
        return mapped
    try:
        array = zarr.open_array(str(folder / name), mode="r")
        found = (str(array.dtype), tuple(array.shape))
        if found != (dtype, shape):
            raise InputError(f"{folder / name}: array is {found[0]} {found[1]}, the manifest says {dtype} {shape}")
        values: npt.NDArray[Any] = np.asarray(array[first:last])
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(f"{folder / name}: not a readable Zarr array: {' '.join(str(error).split())}") from None
    return values


def _map_shard(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], first: int, last: int
) -> npt.NDArray[Any] | None:
    """Map the shard and return rows `first` to `last`; None if its chunks are not stored in order."""
    row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    chunk_bytes = CHUNK_ROWS * row_bytes
    chunks = -(-shape[0] // CHUNK_ROWS)
    # After the chunks: the (offset, size) of each as uint64, and a CRC32C of this index.
    if path.stat().st_size != chunks * (chunk_bytes + 16) + 4:
        return None
    index = np.fromfile(path, "<u8", count=2 * chunks, offset=chunks * chunk_bytes).reshape(chunks, 2)
    expected = np.stack([np.arange(chunks) * chunk_bytes, np.full(chunks, chunk_bytes)], axis=1)
    if not np.array_equal(index, expected):
        return None
    part = (last - first, *shape[1:])
    return np.asarray(np.memmap(path, dtype.newbyteorder("<"), mode="c", offset=first * row_bytes, shape=part))

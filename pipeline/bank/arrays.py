"""One array of a bank on disk: a Zarr v3 array in exactly one shard.

Metadata is zarr-python's, and compressed arrays are written by it. An uncompressed shard holds its rows in order and
then the index of its chunks; it is written here, with the bytes that zarr-python gives it. Mapping this file into
memory is 15 times faster than decoding it, and all processes share the page cache. If the index shows another layout,
or the bank has a codec, zarr reads the array.
"""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from pipeline.bank.format import CHUNK_ROWS, shard_name
from pipeline.base.checksums import bytes_crc32c
from pipeline.base.errors import InputError

METADATA = "zarr.json"
ROWS, SHARD_ROWS = '"ROWS"', '"SHARD ROWS"'  # in `_array_text`
DIMENSIONS = {"features": ("row", "channel"), "boxes_xyxy": ("row", "coordinate")}


def create_group(folder: Path, attributes: dict[str, Any] | None = None) -> Path:
    """Make an empty Zarr v3 group in `folder` and return the folder."""
    text = _group_text()
    if not text:
        zarr.create_group(store=str(folder), zarr_format=3, attributes=attributes or {})
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if attributes:
        text = json.dumps({**json.loads(text), "attributes": attributes}, indent=2)
    (folder / METADATA).write_text(text)
    return folder


def write_array(group: Path, name: str, values: npt.NDArray[Any], codec: str) -> None:
    """Write `values` into the group as one shard of chunks of `CHUNK_ROWS` rows; without rows no shard is written.

    The fill value is NaN (-1 for ids), and chunks that hold only fill values are written too. So a zero in a bank is
    always one that was written, and a Zarr reader that misses the shard sees NaN.
    """
    text = _array_text(name, values.dtype.str, values.shape[1:]) if codec == "none" else ""
    if not text:
        array = _create_array(str(group), name, values.shape, values.dtype, codec)
        if len(values):
            array[...] = values
        return
    folder = group / name
    folder.mkdir()
    text = text.replace(ROWS, str(len(values))).replace(SHARD_ROWS, str(CHUNK_ROWS * _chunk_count(len(values))))
    (folder / METADATA).write_text(text)
    if len(values):
        _write_shard(group / shard_name(name), values)


def _create_array(store: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], codec: str) -> Any:
    compressors = {
        "none": None,
        "zstd": ZstdCodec(level=1),
        "lz4": BloscCodec(cname="lz4", shuffle="bitshuffle"),
    }
    return zarr.create_array(
        store=store,
        name=name,
        shape=shape,
        dtype=dtype,
        chunks=(CHUNK_ROWS, *shape[1:]),
        shards=(CHUNK_ROWS * _chunk_count(shape[0]), *shape[1:]),
        filters=None,
        compressors=compressors[codec],
        fill_value=_fill_value(dtype),
        dimension_names=DIMENSIONS.get(name, ("row",)),
        config={"write_empty_chunks": True},
    )


def _chunk_count(rows: int) -> int:
    return max(1, -(-rows // CHUNK_ROWS))


def _fill_value(dtype: np.dtype[Any]) -> float:
    return -1 if dtype.kind == "i" else float("nan")


@functools.cache
def _group_text() -> str:
    """Return the metadata that zarr writes for a group without attributes; see `_array_text`."""
    with tempfile.TemporaryDirectory() as scratch:
        zarr.create_group(store=scratch, zarr_format=3)
        text = Path(scratch, METADATA).read_text()
    return text if json.dumps(json.loads(text), indent=2) == text else ""


@functools.cache
def _array_text(name: str, dtype: str, columns: tuple[int, ...]) -> str:
    """Return the metadata that zarr writes for an uncompressed array, with words for its rows and those of its shard.

    It is empty where this version of zarr formats its JSON in another way. zarr takes 3 ms of CPU time for each array,
    which would be most of what a short film costs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        zarr.create_group(store=scratch, zarr_format=3)
        _create_array(scratch, name, (1, *columns), np.dtype(dtype), "none")
        text = Path(scratch, name, METADATA).read_text()
    metadata = json.loads(text)
    if json.dumps(metadata, indent=2) != text:
        return ""
    metadata["shape"][0], metadata["chunk_grid"]["configuration"]["chunk_shape"][0] = "ROWS", "SHARD ROWS"
    return json.dumps(metadata, indent=2)


def _write_shard(path: Path, values: npt.NDArray[Any]) -> None:
    """Write the chunks in order, then the offset and size of each and a CRC32C of these, as `sharding_indexed` says."""
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    chunks = _chunk_count(len(values))
    missing = np.full((chunks * CHUNK_ROWS - len(values), *values.shape[1:]), _fill_value(values.dtype), values.dtype)
    index = _index(chunks, CHUNK_ROWS * values[:1].nbytes)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for each in (values, missing, index, np.array(bytes_crc32c(index), "<u4")):
            file.write(each.tobytes() if not each.size else each.data)


def _index(chunks: int, chunk_bytes: int) -> npt.NDArray[np.uint64]:
    """Return the index of a shard whose chunks stand in order: offset and size of each, [chunks, 2]."""
    return np.stack([np.arange(chunks) * chunk_bytes, np.full(chunks, chunk_bytes)], axis=1).astype("<u8")


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


def is_mappable(folder: Path, name: str, dtype: str, shape: tuple[int, ...]) -> bool:
    """Return whether the rows of an uncompressed array stand in its shard in their order, so that it can be mapped."""
    return not shape[0] or _map_shard(folder / shard_name(name), np.dtype(dtype), shape, 0, shape[0]) is not None


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
    if not np.array_equal(index, _index(chunks, chunk_bytes)):
        return None
    part = (last - first, *shape[1:])
    return np.asarray(np.memmap(path, dtype.newbyteorder("<"), mode="c", offset=first * row_bytes, shape=part))

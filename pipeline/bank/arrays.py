"""One array of a bank on disk: a Zarr v3 array in exactly one shard.

Metadata is zarr-python's, and compressed arrays are written by it. An uncompressed shard holds its rows in order and
then the index of its chunks; it is written here, with the bytes that zarr-python gives it. Mapping this file into memory is 15 times faster than decoding it, and all processes
share the page cache. If the index shows another layout, or the bank has a codec, zarr reads the array.
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
DIMENSIONS = {"features": ("row", "channel"), "boxes_xyxy": ("row", "coordinate")}


def create_group(folder: Path, attributes: dict[str, Any] | None = None) -> Path:
    """Make an empty Zarr v3 group in `folder` and return the folder."""
    template = _template(None, "", (), "none")
    if template is None:
        zarr.create_group(store=str(folder), zarr_format=3, attributes=attributes or {})
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METADATA).write_text(_json({**template, "attributes": attributes or {}}))
    return folder


def write_array(group: Path, name: str, values: npt.NDArray[Any], codec: str) -> None:
    """Write `values` into the group as one shard of chunks of `CHUNK_ROWS` rows; without rows no shard is written.

    The fill value is NaN (-1 for ids), and chunks that hold only fill values are written too. So a zero in a bank is
    always one that was written, and a Zarr reader that misses the shard sees NaN.
    """
    template = _template(name, values.dtype.str, values.shape[1:], codec)
    if template is None:
        array = _create_array(str(group), name, values.shape, values.dtype, codec)
        if len(values):
            array[...] = values
        return
    template["shape"][0] = len(values)
    template["chunk_grid"]["configuration"]["chunk_shape"][0] = CHUNK_ROWS * _chunk_count(len(values))
    folder = group / name
    folder.mkdir()
    (folder / METADATA).write_text(_json(template))
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


def _template(name: str | None, dtype: str, columns: tuple[int, ...], codec: str) -> Any:
    """Return the metadata that zarr writes for an uncompressed array of one row, or for a group (no name).

    None where we cannot write the array ourselves: it is compressed, or this version of zarr formats its JSON in
    another way. zarr takes 3 ms of CPU time for each array, which is most of what a part of a short film costs.
    """
    text = _template_text(name, dtype, columns) if codec == "none" else ""
    return json.loads(text) if text else None


@functools.cache
def _template_text(name: str | None, dtype: str, columns: tuple[int, ...]) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        zarr.create_group(store=scratch, zarr_format=3)
        if name is not None:
            _create_array(scratch, name, (1, *columns), np.dtype(dtype), "none")
        text = Path(scratch, name or "", METADATA).read_text()
    return text if _json(json.loads(text)) == text else ""


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=True)


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

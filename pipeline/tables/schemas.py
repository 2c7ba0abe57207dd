"""The tables: one schema each, checked on write and on read; and the convention for boxes and times.

Boxes are `x1, y1, x2, y2`, normalised to [0, 1] of the frame as displayed, float64 with the source's decimals.
`timestamp` is the data set's label of a keyframe (an AVA second); `time_seconds` is seconds from the start of
the video: `time_seconds = timestamp - first_timestamp + offset_seconds`. `action_id` is the source's id, 1-based.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base.checksums import REMEDY, bytes_crc32c, checksum_text
from pipeline.base.errors import DamagedError, InputError
from pipeline.base.files import atomic_path

_KEY = [("video_id", pa.string()), ("timestamp", pa.float64()), ("time_seconds", pa.float64())]
_BOX = [("x1", pa.float64()), ("y1", pa.float64()), ("x2", pa.float64()), ("y2", pa.float64())]
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
CHECKSUM = b"actionbank.crc32c"  # key, in the metadata of a Parquet file, of the checksum of the table's values


def _schema(columns: list[tuple[str, pa.DataType]], nullable: tuple[str, ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns])


# One row per label of a box; a person with three actions has three rows.
ANNOTATIONS = _schema([*_KEY, *_BOX, ("action_id", pa.int32()), ("person_id", pa.int32())], ("person_id",))
# One row per keyframe that the source names. status: "annotated", "empty" (no person) or "excluded".
KEYFRAMES = _schema([*_KEY, ("split", pa.string()), ("status", pa.string())])
# One row per proposal. source: the file's format or the detector; label: an object's class, null for persons; track_id:
# the person within the video, null if boxes are not tracked. Older tables lack track_id, which then reads as nulls.
BOXES = _schema(
    [*_KEY, *_BOX, ("score", pa.float64()), ("source", pa.string()), ("label", pa.string()), ("track_id", pa.int64())],
    ("label", "track_id"),
)
# One row per (box, class) that the model scored above the action threshold.
DETECTIONS = _schema([*_KEY, *_BOX, ("action_id", pa.int32()), ("score", pa.float64())])
# What a data set gives for each video: its split, and the timestamp that belongs to a time.
TIMELINES = _schema(
    [("video_id", pa.string()), ("split", pa.string()), ("first_timestamp", pa.float64()),
     ("offset_seconds", pa.float64())]
)  # fmt: skip
# What the media file gives for each video; frame extraction writes it, so it depends on no annotation.
VIDEOS = _schema(
    [("video_id", pa.string()), ("path", pa.string()), ("sha256", pa.string()), ("fps", pa.float64()),
     ("duration_seconds", pa.float64()), ("frames", pa.int64()), ("grid_frames", pa.int64()),
     ("width", pa.int32()), ("height", pa.int32())]
)  # fmt: skip

# One row per clip of a data set for recognition. label: the class's id as published, from 0; null where none is
# published (test). text: the source's label text, or its template with the placeholders filled in. first_frame: the
# first stored frame of the clip; frames: how many belong to it, null for all from there on.
CLIPS = _schema(
    [("video_id", pa.string()), ("split", pa.string()), ("label", pa.int32()), ("text", pa.string()),
     ("first_frame", pa.int32()), ("frames", pa.int32())],
    ("label", "text", "frames"),
)  # fmt: skip
# One row per (clip, class): the probability that a recognizer gives it, and the clip's own class.
CLIP_SCORES = _schema(
    [("video_id", pa.string()), ("label", pa.int32()), ("class_id", pa.int32()), ("score", pa.float32())]
)


def check_table(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Check a table, and return it in `schema`'s column order, without metadata.

    Raises:
        InputError: a column is missing, is not in the schema, has another type or holds a null that is not allowed.
    """
    if sorted(table.column_names) != sorted(schema.names):
        raise InputError(f"{what}: columns are {table.column_names}, expected {schema.names}")
    table = table.select(schema.names)
    for field in schema:
        found = table.schema.field(field.name).type
        if found != field.type:
            raise InputError(f"{what}: column {field.name} is {found}, expected {field.type}")
        if not field.nullable and table[field.name].null_count:
            raise InputError(f"{what}: column {field.name} holds {table[field.name].null_count} nulls, expected none")
    return table.cast(schema).replace_schema_metadata(None)


def table_crc32c(table: pa.Table) -> str:
    """Compute the CRC32C of a table's column names and values; chunks and file layout do not matter."""
    value = 0
    for name, column in zip(table.column_names, table.columns, strict=True):
        value = bytes_crc32c(f"{name}:{column.type}:{len(column)};".encode(), value)
        value = bytes_crc32c(np.packbits(column.is_valid().to_numpy()), value)
        if pa.types.is_string(column.type):
            texts = column.fill_null("")
            value = bytes_crc32c(pc.binary_length(texts).to_numpy(), value)
            for chunk in texts.chunks:
                value = bytes_crc32c(bytes_of_texts(chunk), value)
        else:
            value = bytes_crc32c(column.fill_null(0).to_numpy(), value)
    return checksum_text(value)


def bytes_of_texts(texts: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return the bytes of texts one after the other, as they lie in the buffer, without an object for each."""
    data = texts.buffers()[2]
    if not len(texts) or data is None:
        return np.empty(0, np.uint8)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]


def write_table(table: pa.Table, path: Path, schema: pa.Schema) -> None:
    """Write a Parquet file atomically, with the same bytes for the same rows; its metadata holds their checksum."""
    table = check_table(table, schema, str(path)).combine_chunks()
    table = table.replace_schema_metadata({CHECKSUM: table_crc32c(table).encode()})
    with atomic_path(path, read_only=True) as partial:
        pq.write_table(table, partial, compression="zstd", store_schema=True)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file and check it against its checksum and its schema.

    A nullable column that is missing reads as nulls. A table without a checksum, from an older version, is accepted.

    Raises:
        InputError: the file is absent, not Parquet or has another schema.
        DamagedError: its values are not those that were written.
    """
    table = check_values(path)
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return check_table(table, schema, str(path))


def check_values(path: Path) -> pa.Table:
    """Read a Parquet file and check it against its checksum only.

    Raises:
        InputError: the file is absent or not Parquet.
        DamagedError: its values are not those that were written.
    """
    try:
        table = pq.ParquetFile(path).read()
        expected = (table.schema.metadata or {}).get(CHECKSUM)
        found = table_crc32c(table) if expected is not None else None
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        # Arrow's errors for damaged data have no errno; errors of the system have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: not a Parquet table: {' '.join(str(error).split())}; {REMEDY}") from None
    if expected is not None and found != expected.decode(errors="replace"):
        raise DamagedError(
            f"{path}: is damaged: its values have CRC32C {found}, were written with {expected.decode(errors='replace')}"
            f"; {REMEDY}"
        )
    return table

"""The tables, one schema each, checked on write and on read; and the one box and time convention.

Boxes are `x1, y1, x2, y2`, normalised to [0, 1] of the frame as displayed, float64 with the source's decimals.
`timestamp` is the data set's label of a keyframe (an AVA second); `time_seconds` is seconds from the start of
the video: `time_seconds = timestamp - first_timestamp + offset_seconds`. `action_id` is the source's id, 1-based.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.files import atomic_path

REMEDY = "run the stage that makes it again, or fetch it (`dvc checkout`)"
_KEY = [("video_id", pa.string()), ("timestamp", pa.float64()), ("time_seconds", pa.float64())]
_BOX = [("x1", pa.float64()), ("y1", pa.float64()), ("x2", pa.float64()), ("y2", pa.float64())]
BOX_COLUMNS = ("x1", "y1", "x2", "y2")


def _schema(columns: list[tuple[str, pa.DataType]], nullable: tuple[str, ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns])


# One row per label of a box; a person with three actions has three rows.
ANNOTATIONS = _schema([*_KEY, *_BOX, ("action_id", pa.int32()), ("person_id", pa.int32())], ("person_id",))
# One row per keyframe that the source names. status: "annotated", "empty" (no person) or "excluded".
KEYFRAMES = _schema([*_KEY, ("split", pa.string()), ("status", pa.string())])
# One row per proposal. source: the file's format or the detector; label: an object's class, null for persons; track_id:
# the person within the video, null where boxes are not tracked. Tables of before tracks lack it, and read as nulls.
BOXES = _schema(
    [*_KEY, *_BOX, ("score", pa.float64()), ("source", pa.string()), ("label", pa.string()), ("track_id", pa.int64())],
    ("label", "track_id"),
)
# One row per (box, class) that the model scored above the action threshold.
DETECTIONS = _schema([*_KEY, *_BOX, ("action_id", pa.int32()), ("score", pa.float64())])
# What a data set says of each video: where label and time meet, and its split.
TIMELINES = _schema(
    [("video_id", pa.string()), ("split", pa.string()), ("first_timestamp", pa.float64()),
     ("offset_seconds", pa.float64())]
)  # fmt: skip
# What the media file says of each video; written by frame extraction, so it depends on no annotation.
VIDEOS = _schema(
    [("video_id", pa.string()), ("path", pa.string()), ("sha256", pa.string()), ("fps", pa.float64()),
     ("duration_seconds", pa.float64()), ("frames", pa.int64()), ("grid_frames", pa.int64()),
     ("width", pa.int32()), ("height", pa.int32())]
)  # fmt: skip


def check_table(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Return `table` in `schema`'s column order, without metadata.

    Raises:
        InputError: a column is missing, is too many, has another type or holds a null where none may stand.
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


def write_table(table: pa.Table, path: Path, schema: pa.Schema) -> None:
    """Write a Parquet file atomically, with the same bytes for the same rows."""
    table = check_table(table, schema, str(path)).combine_chunks()
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd", store_schema=True)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file and check it against its schema; a nullable column that it lacks reads as nulls.

    Raises:
        InputError: the file is absent, not Parquet or of another schema.
    """
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except OSError as error:  # Arrow's own for damaged data has no number; what the system refuses has one
        if error.errno is not None:
            raise
        raise InputError(f"{path}: not a whole Parquet table: {error}; {REMEDY}") from None
    except pa.ArrowException as error:
        if isinstance(error, MemoryError):
            raise
        raise InputError(f"{path}: not a Parquet table: {error}; {REMEDY}") from None
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return check_table(table, schema, str(path))

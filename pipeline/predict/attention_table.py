"""The table ATTENTION: what each person's attention fell on."""

from pathlib import Path

import pyarrow as pa

from pipeline.evaluation.csv_tables import write_csv
from pipeline.tables.schemas import BOX_COLUMNS, write_table

SEEN_BOX = tuple(f"seen_{name}" for name in BOX_COLUMNS)
ATTENTION = pa.schema(
    [pa.field("video_id", pa.string(), nullable=False)]
    + [pa.field(name, pa.float64(), nullable=False) for name in ("timestamp", "time_seconds", *BOX_COLUMNS)]
    + [pa.field("block", pa.string(), nullable=False), pa.field("layer", pa.int32(), nullable=False)]
    + [pa.field("seen", pa.string(), nullable=False)]
    + [pa.field(name, pa.float64()) for name in ("seen_time_seconds", *SEEN_BOX, "seen_score")]
    + [pa.field("weight", pa.float64(), nullable=False)]
)
"""One row for each thing that a person looked at, by block and layer. `block`: P persons of the clip, O its objects, M
the window, or `past` and `future`, its halves. `seen`: row (of the bank), person, object, or empty, an empty slot of a
window that mask `none` lets take part. `weight`: its share of the layer's attention; all of them add up to 1."""
OUT = ("attention.parquet", "attention.csv")


def write_attention(folder: Path, attention: pa.Table) -> None:
    """Write the files of `OUT` into a folder that is there."""
    write_table(attention, folder / "attention.parquet", ATTENTION)
    columns = [attention[name].to_pylist() for name in ATTENTION.names]
    write_csv(folder / "attention.csv", ATTENTION.names, zip(*columns, strict=True))

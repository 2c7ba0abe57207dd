"""Write a table whose rows come in parts, so that only a part of it is in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base.checksums import bytes_crc32c, checksum_text, joined_crc32c
from pipeline.base.files import atomic_path
from pipeline.tables.schemas import CHECKSUM, bytes_of_texts, check_table

GROUP_ROWS = 1 << 16
"Rows of a row group; a multiple of 8, because the checksum packs which values are null into bytes."


def write_parts(parts: Iterable[pa.Table], path: Path, schema: pa.Schema) -> int:
    """Write a Parquet file as `write_table` does, with the same rows and checksum, and return the number of rows.

    Its row groups have GROUP_ROWS rows each, so its bytes depend on the rows, not on the parts.

    Args:
        parts: tables of the schema; one after the other they are the whole.
        path: the file.
        schema: see `check_table`.
    """
    checksum = _Checksum(schema)
    # A stored schema of Arrow's own would hide the checksum, which is known at the end alone, from readers.
    with (
        atomic_path(path, read_only=True) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", store_schema=False) as writer,
    ):
        for group in _groups(check_table(part, schema, str(path)) for part in parts):
            checksum.add(group)
            writer.write_table(group)
        if not checksum.rows:
            writer.write_table(schema.empty_table())
        writer.add_key_value_metadata({CHECKSUM.decode(): checksum.text()})
    return checksum.rows


def _groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        while sum(len(each) for each in waiting) >= GROUP_ROWS:
            table = pa.concat_tables(waiting)
            yield table.slice(0, GROUP_ROWS).combine_chunks()
            waiting = [table.slice(GROUP_ROWS)]
    if sum(len(each) for each in waiting):
        yield pa.concat_tables(waiting).combine_chunks()


class _Checksum:
    """`table_crc32c` of a table whose groups come one by one; all but the last have a multiple of 8 rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._runs = {field.name: [_Run() for _ in range(3)] for field in schema}
        self.rows = 0

    def add(self, group: pa.Table) -> None:
        """Take the next rows."""
        self.rows += len(group)
        for field in self._schema:
            column, (valid, values, texts) = group[field.name], self._runs[field.name]
            valid.add(np.packbits(column.is_valid().to_numpy()))
            if pa.types.is_string(field.type):
                column = column.fill_null("")
                values.add(pc.binary_length(column).to_numpy())
                for chunk in column.chunks:
                    texts.add(bytes_of_texts(chunk))
            else:
                values.add(column.fill_null(0).to_numpy())

    def text(self) -> str:
        """Return the checksum of all rows."""
        value = 0
        for field in self._schema:
            value = bytes_crc32c(f"{field.name}:{field.type}:{self.rows};".encode(), value)
            for run in self._runs[field.name]:
                value = joined_crc32c(value, run.crc32c, run.length)
        return checksum_text(value)


class _Run:
    """The CRC32C and the length of bytes that come one after the other."""

    def __init__(self) -> None:
        self.crc32c, self.length = 0, 0

    def add(self, data: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> None:
        self.crc32c = bytes_crc32c(data, self.crc32c)
        self.length += data.nbytes

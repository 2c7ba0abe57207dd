from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import InputError
from pipeline.tables import table_parts
from pipeline.tables.schemas import BOXES, read_table, table_crc32c, write_table
from pipeline.tables.table_parts import write_parts


def boxes(rows: int) -> pa.Table:
    number = np.arange(rows)
    columns = dict.fromkeys(("timestamp", "time_seconds", "x1", "y1", "x2", "y2", "score"), number / 7)
    names = {"video_id": [f"film é {row % 3}" for row in range(rows)], "source": ["made"] * rows}
    label = ["ball" if row % 5 == 0 else None for row in range(rows)]
    track = [row if row % 2 else None for row in range(rows)]
    return pa.table({**columns, **names, "label": label, "track_id": track}).select(BOXES.names).cast(BOXES)


@pytest.mark.parametrize("rows", [0, 1, 8, 21, 40])
def test_parts_are_read_as_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(table_parts, "GROUP_ROWS", 16)
    table = boxes(rows)
    parts = [table.slice(0, 3), table.slice(3, 0), table.slice(3, 20), table.slice(23)]
    assert write_parts(parts, tmp_path / "parts.parquet", BOXES) == rows
    write_table(table, tmp_path / "whole.parquet", BOXES)
    assert read_table(tmp_path / "parts.parquet", BOXES).equals(read_table(tmp_path / "whole.parquet", BOXES))
    stored = pq.read_schema(tmp_path / "parts.parquet").metadata[b"actionbank.crc32c"].decode()
    assert stored == table_crc32c(table)
    write_parts(iter([table]), tmp_path / "other.parquet", BOXES)
    assert (tmp_path / "other.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()


def test_a_part_of_another_form_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.parquet: columns are"):
        write_parts([boxes(2), boxes(2).drop_columns(["score"])], tmp_path / "x.parquet", BOXES)
    assert list(tmp_path.iterdir()) == []

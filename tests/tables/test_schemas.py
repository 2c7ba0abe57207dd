from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import InputError
from pipeline.tables.schemas import BOXES, TIMELINES, read_table, write_table

ROW = {"video_id": "a", "split": "train", "first_timestamp": 900.0, "offset_seconds": 0.5}


def test_a_table_comes_back_as_it_was_with_the_same_bytes(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW], schema=TIMELINES)
    write_table(table, tmp_path / "a.parquet", TIMELINES)
    write_table(pa.concat_tables([table.slice(0, 0), table]), tmp_path / "b.parquet", TIMELINES)
    assert read_table(tmp_path / "a.parquet", TIMELINES).equals(table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_only_nullable_columns_hold_nulls(tmp_path: Path) -> None:
    row = {"video_id": "a", "timestamp": 1.0, "time_seconds": 1.0, "x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}
    good = {**row, "score": 0.5, "source": "csv", "label": None, "track_id": None}
    write_table(pa.Table.from_pylist([good], schema=BOXES), tmp_path / "x.parquet", BOXES)
    loose = pa.schema([field.with_nullable(True) for field in BOXES])
    bad = pa.Table.from_pylist([{**good, "score": None}], schema=loose)
    with pytest.raises(InputError, match="column score holds 1 nulls, expected none"):
        write_table(bad, tmp_path / "y.parquet", BOXES)
    assert not (tmp_path / "y.parquet").exists()


def test_a_table_from_before_tracks_reads_with_no_track(tmp_path: Path) -> None:
    row = {"video_id": "a", "timestamp": 1.0, "time_seconds": 1.0, "x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0}
    table = pa.Table.from_pylist([{**row, "score": 0.5, "source": "csv", "label": None, "track_id": 3}], schema=BOXES)
    pq.write_table(table.drop(["track_id"]), tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet", BOXES).to_pylist()[0] == {**table.to_pylist()[0], "track_id": None}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"video_id": ["a"]}), r"columns are \['video_id'\], expected \['video_id', 'split'"),
        (
            pa.table({**{k: [v] for k, v in ROW.items()}, "split": [1]}),
            "column split is int64, expected string",
        ),
    ],
)
def test_another_schema_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_table(table, tmp_path / "x.parquet", TIMELINES)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.parquet: no such table"):
        read_table(tmp_path / "x.parquet", TIMELINES)
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"x\.parquet: not a Parquet table"):
        read_table(tmp_path / "x.parquet", TIMELINES)


def test_no_damage_of_a_table_is_a_traceback(tmp_path: Path) -> None:
    row = {"split": "train", "first_timestamp": 0.0}
    rows = [{**row, "video_id": f"v{n}", "offset_seconds": n / 7} for n in range(500)]
    path = tmp_path / "timelines.parquet"
    write_table(pa.Table.from_pylist(rows, TIMELINES), path, TIMELINES)
    whole = path.read_bytes()
    messages = []
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                read_table(path, TIMELINES)
            except InputError as error:
                messages.append(str(error))
    assert len(messages) > 150  # every file that is cut, and most of the others
    assert all(message.startswith(f"{path}: ") for message in messages)

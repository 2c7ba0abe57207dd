import csv
from pathlib import Path

from pipeline.predict.attention_table import ATTENTION, OUT, write_attention
from pipeline.tables.schemas import read_table
from tests.predict.page.made_up import made_up_attention


def test_the_parquet_and_the_csv_hold_the_same_rows(tmp_path: Path) -> None:
    table = made_up_attention()
    write_attention(tmp_path, table)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(OUT)
    assert read_table(tmp_path / "attention.parquet", ATTENTION) == table
    with (tmp_path / "attention.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seen"] for row in rows] == ["row", "empty", "object"]
    assert [row["seen_time_seconds"] for row in rows] == ["1.5", "", "2.5"]
    assert [float(row["weight"]) for row in rows] == table["weight"].to_pylist()

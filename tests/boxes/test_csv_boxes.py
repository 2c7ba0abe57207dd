import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.boxes.csv_boxes import PLAIN_CSV, PYSLOWFAST_CSV, SCORED_CSV, SEVENTH_CSV
from pipeline.boxes.csv_boxes import read_csv as read_csv_file
from pipeline.boxes.formats_of_boxes import read_box_files
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED
from tests.boxes.files import bare, good, read_csv, told

BOX = [0.1, 0.2, 0.3, 0.4]
TEXT = "0.1,0.2,0.3,0.4"
SCORE = "expected a number from 0 to 1"


def test_scored_boxes_with_and_without_action_ids(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, f"v1,0902,{TEXT},,0.5\r\nv1,902,{TEXT},12,1e-3\nv2,903\nv2,904,,,,,,\n")
    assert rows.format == SCORED_CSV
    assert rows.note == ""
    assert told(rows) == []
    assert good(rows) == [("v1", 902.0, *BOX, 0.5), ("v1", 902.0, *BOX, 0.001)]
    assert bare(rows) == [("v2", 903.0), ("v2", 904.0)]


def test_predicted_boxes_of_pyslowfast_have_empty_labels(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, f"v1,0902,{TEXT},,0.996382\nv1,0903,{TEXT},,1\n")
    assert rows.format == PYSLOWFAST_CSV
    assert [row[-1] for row in good(rows)] == [0.996382, 1.0]


def test_a_score_in_the_seventh_column_and_none_at_all(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, f"v1,0902,{TEXT},0.5\nv1,0903,{TEXT},1.0\nv2,903\nv1,0904,{TEXT},,0.5\n")
    assert rows.format == SEVENTH_CSV
    assert told(rows) == ["boxes.csv: row 4: found column count 8, expected 2 or 7 (score is the seventh)"]
    assert [row[-1] for row in good(rows)] == [0.5, 1.0]
    rows = read_csv(tmp_path, f"v1,0902,{TEXT}\nv1,0903,{TEXT}\nv2,903\nv1,0904,{TEXT},,0.5\n")
    assert rows.format == PLAIN_CSV
    assert rows.note == "2 boxes have no score column: their score is 1"
    assert told(rows) == ["boxes.csv: row 4: found column count 8, expected 2 or 6"]
    assert [row[-1] for row in good(rows)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"v1,902,{TEXT},0.5", "found column count 7, expected 2 or 8 (score is the eighth)"),
        ("", None),
        (f"v1,x,{TEXT},,0.5", "found timestamp 'x', expected a number of seconds"),
        (f"a\\b,1,{TEXT},,0.5", f"found video id 'a\\\\b', expected {VIDEO_ID_EXPECTED}"),
        ("v1,902,a,0.2,0.3,0.4,,0.5", "found x1 'a', expected a finite number"),
        (f"v1,902,{TEXT},,", f"found score '', {SCORE}"),
        (f"v1,902,{TEXT},,3", f"found score '3', {SCORE}"),
    ],
)
def test_a_bad_line_is_told(tmp_path: Path, line: str, message: str | None) -> None:
    rows = read_csv(tmp_path, f"v1,901,{TEXT},,0.5\n{line}\nv1,903\nv1,904,{TEXT},,0.5\n")
    assert told(rows) == ([] if message is None else [f"boxes.csv: row 2: {message}"])
    assert len(good(rows)) == 2


@settings(deadline=None, max_examples=60)
@given(text=st.text(st.sampled_from("v,01.-e\n \"'"), max_size=60))
def test_any_text_is_read_or_told(scratch: Path, text: str) -> None:
    text = f"v,1\n{text}"
    (scratch / "boxes.csv").write_text(text)
    rows = read_csv_file(scratch / "boxes.csv")  # by a folder annotations are left out
    lines = [line for line in text.split("\n") if line.strip()]
    assert len(rows) == len(lines)
    assert len(good(rows)) + len(told(rows)) + (rows.empty & ~rows.faults.bad).sum() == len(lines)


def test_the_real_samples(real: Path, tmp_path: Path) -> None:
    for name in ("gt.csv", "pred.csv"):
        shutil.copy(real / "eval_detection" / name, tmp_path)
    found = read_box_files(tmp_path)
    assert {name: rows.format for name, rows in found.rows.items()} == {"pred.csv": SCORED_CSV}
    assert found.left_out == [(tmp_path / "gt.csv", "annotations (rows with action ids and without scores)")]
    assert told(found.rows["pred.csv"]) == []
    assert good(found.rows["pred.csv"])[0] == ("3reY9zJKhqN", 1774.0, 0.072, 0.47, 0.84, 0.898, 0.655)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("video_id,timestamp,x1,y1,x2,y2,action_id,score", f"v1,902,{TEXT},,0.5"),
        ("video_id,timestamp,x1,y1,x2,y2,score", f"v1,902,{TEXT},0.5"),
        ("video,frame,xmin,ymin,xmax,ymax", f"v1,902,{TEXT}"),
    ],
)
def test_a_first_row_of_names_of_columns_is_passed_over(tmp_path: Path, header: str, row: str) -> None:
    rows = read_csv(tmp_path, f"{header}\n{row}\n{row}\n{row}\nv1,903,x\n")
    assert [each.split(":")[1] for each in told(rows)] == [" row 5"]
    assert good(rows) == [("v1", 902.0, *BOX, 0.5 if "score" in header else 1.0)] * 3


def test_another_order_of_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_csv(tmp_path, f"video_id,timestamp,score,x1,y1,x2,y2\nv1,902,0.5,{TEXT}\n")
    assert str(error.value) == (
        f"{tmp_path / 'boxes.csv'}: the columns are 'video_id,timestamp,score,x1,y1,x2,y2' by the first row, expected "
        "the order video_id,timestamp,x1,y1,x2,y2[[,action_id],score]"
    )

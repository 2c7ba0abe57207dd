"""AVA CSV files: what is read, what is refused and in which words."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_csv import (
    keyframes_table,
    read_detections,
    read_ground_truth,
    read_keyframe_list,
    timestamp_text,
    write_detections,
)
from pipeline.tables.schemas import DETECTIONS

ROW = "a,0902,0.1,0.2,0.3,0.4,12,0.5\n"


def written(folder: Path, text: str | bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_keep_their_order_whatever_their_length(tmp_path):
    text = ROW + "b,903\n" + "\n" + "a,902.5,0,0,1,1,3\n" + ROW.replace("a,", "c,") + '"d,e",1e1,0,0,1,1,4,7\n'
    file = read_ground_truth(written(tmp_path, text))
    assert file.boxes["video_id"].to_pylist() == ["a", "a", "c", "d,e"]
    assert file.boxes["timestamp"].to_pylist() == [902.0, 902.5, 902.0, 10.0]
    assert file.boxes["action_id"].to_pylist() == [12, 3, 12, 4]
    assert file.boxes["person_id"].to_pylist() == [0.5, 1.0, 0.5, 7.0]
    assert file.keyframes.to_pylist() == [{"video_id": "b", "timestamp": 903.0}]


def test_seven_columns_throughout_but_for_one_row(tmp_path):
    short = ROW.rsplit(",", 1)[0] + "\n"
    file = read_detections(written(tmp_path, short + ROW + "b,903\n" + short))
    assert file.boxes["score"].to_pylist() == [1.0, 0.5, 1.0]
    assert len(file.keyframes) == 1


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_has_no_rows(tmp_path, text):
    file = read_detections(written(tmp_path, text))
    assert len(file.boxes) == len(file.keyframes) == 0
    assert file.boxes.column_names[-1] == "score"
    assert len(read_keyframe_list(written(tmp_path, text))) == 0


def test_only_keyframes(tmp_path):
    file = read_ground_truth(written(tmp_path, "a,902\nb,903\n"))
    assert len(file.boxes) == 0
    assert file.keyframes["video_id"].to_pylist() == ["a", "b"]


def test_byte_order_mark_and_carriage_returns(tmp_path):
    text = b"\xef\xbb\xbf" + ROW.replace("\n", "\r\n").encode() * 2 + b"b,903\r\n"
    file = read_detections(written(tmp_path, text))
    assert file.boxes["video_id"].to_pylist() == ["a", "a"]
    assert file.keyframes["timestamp"].to_pylist() == [903.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "a,902\n\n" + "a,902,1,x,3,4,5,1\n", "row 3: y1 is 'x', expected a finite number"),
        (ROW + "a,902,1,,3,4,5,1\n", "row 2: y1 is '', expected a finite number"),
        ("b,903\n" + ROW + "a,902,1,nan,3,4,5,1\n", "row 3: y1 is 'nan', expected a finite number"),
        (ROW + "b,903\n" + "a,902,1,2,3,4,5,inf\n", "row 3: score is 'inf', expected a finite number"),
        (ROW + "a,902,1,2,3,4,5.5,1\n", "row 2: action_id is '5.5', expected an integer"),
        (ROW + "a,902,1,2,3,4,99999999999,1\n", "row 2: action_id is '99999999999', expected an integer"),
        (ROW + "a,902,1,2,3,4,5.5\n", "row 2: action_id is '5.5', expected an integer"),
        (ROW + "a,902,1,2,inf,4,5\n", "row 2: x2 is 'inf', expected a finite number"),
        (ROW + "a,soon\n", "row 2: timestamp is 'soon', expected a finite number"),
        (ROW + "a,nan\n", "row 2: timestamp is 'nan', expected a finite number"),
        (ROW + "a,902,1\n", "row 2: found 3 columns, expected 2, 7 or 8"),
        ("a,902,1,2,3,4,5,1,9\n" + ROW, "row 1: found 9 columns, expected 2, 7 or 8"),
        (
            "video_id,timestamp,x1,y1,x2,y2,action_id,score\n",
            "row 1: timestamp is 'timestamp', expected a finite number",
        ),
        (ROW.encode() + b"\xff\n" + ROW.encode(), "line 2: not UTF-8 text, expected CSV"),
        (b"\xff\xfe,902,1,2,3,4,5,1\n", "line 1: not UTF-8 text, expected CSV"),
    ],
)
def test_bad_rows(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_detections(path)
    assert str(caught.value) == f"{path}: {message}"


def test_person_id_is_named(tmp_path):
    path = written(tmp_path, "a,902,1,2,3,4,5,Ann\n")
    with pytest.raises(InputError) as caught:
        read_ground_truth(path)
    assert str(caught.value) == f"{path}: row 1: person_id is 'Ann', expected a finite number"


def test_excluded_list(tmp_path):
    path = written(tmp_path, "a,0902\nb,903.25\n")
    listed = read_keyframe_list(path)
    assert listed.to_pylist() == [{"video_id": "a", "timestamp": 902.0}, {"video_id": "b", "timestamp": 903.25}]
    both = keyframes_table(empty=listed.slice(0, 1), excluded=listed)
    assert both["status"].to_pylist() == ["empty", "excluded", "excluded"]
    bad = written(tmp_path, "a,0902\n" + ROW)
    with pytest.raises(InputError) as caught:
        read_keyframe_list(bad)
    assert str(caught.value) == f"{bad}: row 2: found 8 columns, expected 2"
    bad = written(tmp_path, "a,0902\nb,inf\n")
    with pytest.raises(InputError) as caught:
        read_keyframe_list(bad)
    assert str(caught.value) == f"{bad}: row 2: timestamp is 'inf', expected a finite number"


def test_absent_and_unreadable(tmp_path):
    with pytest.raises(InputError, match=r"/no\.csv: no such file$"):
        read_detections(tmp_path / "no.csv")
    with pytest.raises(InputError, match=r": cannot be read: Is a directory$"):
        read_detections(tmp_path)


@pytest.mark.parametrize("stamp", ["1e300", "-9e12", "9223372036854775808"])
@pytest.mark.parametrize("rest", [",0.1,0.2,0.3,0.4,1,0.5", ""])
def test_a_time_beyond_any_film_is_named(tmp_path, stamp, rest):
    path = written(tmp_path, f"a,1,0.1,0.2,0.3,0.4,1,0.5\na,{stamp}{rest}\n".encode())
    message = refusal(lambda: read_detections(path))
    assert message is not None
    assert message.startswith(f"{path}: row 2: timestamp is '")
    assert message.endswith("', expected a finite number below 9e+12")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(scratch, data):
    path = written(scratch, data)
    for read in (read_detections, read_keyframe_list):
        message = refusal(lambda read=read: read(path))
        assert message is None or (message.startswith(f"{path}: ") and "\n" not in message)


def refusal(action) -> str | None:
    try:
        action()
    except InputError as error:
        return str(error)
    return None


finite = st.floats(allow_nan=False, allow_infinity=False)
stamps = st.floats(-8e12, 8e12)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


@given(
    st.lists(st.tuples(names, stamps, finite, finite, finite, finite, st.integers(1, 2**31 - 1), finite), max_size=6)
)
def test_written_detections_read_back_the_same(scratch, rows):
    kinds = [pa.string(), *[pa.float64()] * 5, pa.int32(), pa.float64()]
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "score"]
    values = list(zip(*rows, strict=True)) or [()] * 8
    table = pa.table([pa.array(list(each), kind) for each, kind in zip(values, kinds, strict=True)], columns)
    path = scratch / "detections.csv"
    write_detections(path, table)
    read = read_detections(path).boxes
    assert read.set_column(0, "video_id", read["video_id"].cast(pa.string())).to_pylist() == table.to_pylist()


def test_timestamps_are_written_as_ava_does(tmp_path):
    assert [timestamp_text(value) for value in (2.0, 902.0, 12345.0, 902.25)] == ["0002", "0902", "12345", "902.25"]
    file = read_detections(written(tmp_path, ROW))
    write_detections(tmp_path / "y.csv", file.boxes)
    assert (tmp_path / "y.csv").read_text() == ROW


def test_a_table_that_begins_with_an_empty_chunk_is_written_as_any_other(tmp_path: Path) -> None:
    count = 1500
    zeros, ones = np.zeros(count), np.ones(count)
    columns = {"timestamp": zeros, "time_seconds": zeros, "x1": zeros, "y1": zeros, "x2": ones, "y2": ones}
    numbered = {"action_id": np.arange(count, dtype=np.int32), "score": ones}
    table = pa.table({"video_id": ["a"] * count, **columns, **numbered}).cast(DETECTIONS)
    for name, each in (("one", table), ("other", pa.concat_tables([DETECTIONS.empty_table(), table]))):
        write_detections(tmp_path / name, each)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "one").read_text().splitlines()[-1] == "a,0000,0,0,1,1,1499,1"

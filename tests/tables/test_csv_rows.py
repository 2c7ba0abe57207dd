import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import numbers, read_rows, shown, video_id_fault
from pipeline.tables.film_ids import composed


def write(folder: Path, data: bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(data)
    return path


def test_rows_of_different_lengths_keep_their_line_numbers(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, b"\xef\xbb\xbfa,1\r\n\r\n  b , 2 ,3\n \t\nc\n\n"))
    assert rows.file == "rows.csv"
    assert rows.lines.tolist() == [1, 3, 5]
    assert rows.widths.tolist() == [2, 3, 1]
    assert rows.column(0).to_pylist() == ["a", "b", "c"]
    assert rows.column(1).to_pylist() == ["1", "2", ""]
    assert rows.column(2).to_pylist() == ["", "3", ""]
    assert rows.column(9).to_pylist() == ["", "", ""]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert len(read_rows(write(tmp_path, b""))) == 0
    assert read_rows(write(tmp_path, b"\n\n")).column(0).to_pylist() == []


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, b"a,1\nb\xff,2\n")
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert str(error.value) == f"{path}: row 2 is not UTF-8 text"
    with pytest.raises(InputError) as error:
        read_rows(tmp_path / "absent.csv")
    assert str(error.value) == f"{tmp_path / 'absent.csv'}: cannot be read: No such file or directory"


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(blacklist_characters=",\n", blacklist_categories=["Cs"])), min_size=1),
        max_size=8,
    )
)
def test_every_field_comes_back(scratch: Path, table: list[list[str]]) -> None:
    text = composed("\n".join(",".join(row) for row in table))
    table = [line.split(",") for line in text.split("\n")] if table else []
    rows = read_rows(write(scratch, text.encode()))
    expected = [row for row in table if ",".join(row).strip()]
    if text.startswith("\ufeff"):  # a byte order mark is no content
        return
    assert rows.widths.tolist() == [len(row) for row in expected]
    for index in range(max(map(len, expected), default=0)):
        column = [row[index].strip() if index < len(row) else "" for row in expected]
        assert rows.column(index).to_pylist() == column


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_correctly_rounded(values: list[float]) -> None:
    assert numbers(pa.array(map(repr, values), pa.large_string())).tolist() == values
    # Where one text is no number, the others go another way.
    assert numbers(pa.array(["bad", *map(repr, values)], pa.large_string()))[1:].tolist() == values


@settings(deadline=None)
@given(st.lists(st.text() | st.from_regex(r"[-+.0-9e]{1,8}", fullmatch=True)))
def test_what_is_no_finite_number_is_nan_whatever_stands_beside_it(texts: list[str]) -> None:
    together = numbers(pa.array(texts, pa.large_string()))
    alone = [numbers(pa.array([text], pa.large_string()))[0] for text in texts]
    np.testing.assert_array_equal(together, alone)
    for text, value in zip(texts, alone, strict=True):
        if not math.isnan(value):
            assert value == float(text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "1,5", "１", " 1", "--1", "."])
def test_these_are_no_numbers(text: str) -> None:
    assert math.isnan(numbers(pa.array([text]))[0])


@pytest.mark.parametrize("text", ["0902", "+1", "1.", ".5", "1E+5", "-0.0"])
def test_these_are_numbers(text: str) -> None:
    assert numbers(pa.array([text, "x"]))[0] == float(text)


@pytest.mark.parametrize(
    "video_id",
    [
        "-5KQ66BBWC4",
        "_-Z6wFjXtGQ",
        "aerobic_gymnastics/v_aqMgwPExjD0_c001.mp4",
        "x" * 200,
        "a.b",
        "two words",
        "Tür (2) #1+",
    ],
)
def test_ids_that_can_be_part_of_a_file_name(video_id: str) -> None:
    assert video_id_fault(video_id) == ""


@pytest.mark.parametrize(
    "video_id",
    ["..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\\b", "a\n", " a", "a/ b", ".a", 'a"', "x" * 201],
)
def test_ids_that_cannot(video_id: str) -> None:
    assert video_id_fault(video_id) == f"video id {shown(video_id)}"


def test_no_id() -> None:
    assert video_id_fault("") == "no video id"


def test_foreign_text_in_a_message_is_one_short_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown("x" * 100) == f"'{'x' * 57}'..."

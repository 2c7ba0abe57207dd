from pathlib import Path

import pytest

from pipeline.annotations.ava import import_ava
from pipeline.annotations.sources import SourceOptions, import_source
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED
from tests.annotations.sources import write_source
from tests.annotations.test_ava import GOOD, HEADER, rows, statuses, told


def test_the_other_columns_of_an_empty_keyframe_may_be_there_and_empty(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,,,,,,\nv1,903,,,,,\n"), classes=80)
    assert statuses(found) == [("v1", 902.0, "train", "empty"), ("v1", 903.0, "train", "empty")]


BAD_ROWS = {
    "v1,902,0.1,0.2,0.3,0.4": "found column count 6, expected 2, 7 or 8",
    "v1": "found column count 1, expected 2, 7 or 8",
    "v1,902,0.1,0.2,0.3,0.4,1,0,0": "found column count 9, expected 2, 7 or 8",
    ",902,0.1,0.2,0.3,0.4,1,0": f"found no video id, expected {VIDEO_ID_EXPECTED}",
    "../v,902,0.1,0.2,0.3,0.4,1,0": f"found video id '../v', expected {VIDEO_ID_EXPECTED}",
    "v1,soon,0.1,0.2,0.3,0.4,1,0": "found timestamp 'soon', expected a number of seconds",
    "v1,": "found timestamp '', expected a number of seconds",
    "v1,1e10": "found timestamp '1e10', expected a number of seconds",
    "video_id,timestamp,x1,y1,x2,y2,action_id,person_id": "found timestamp 'timestamp', expected a number of seconds",
    "v1,902,left,0.2,0.3,0.4,1,0": "found x1 'left', expected a finite number",
    "v1,902,0.1,nan,0.3,0.4,1,0": "found y1 'nan', expected a finite number",
    "v1,902,0.1,0.2,inf,0.4,1,0": "found x2 'inf', expected a finite number",
    "v1,902,0.1,0.2,0.3,,1,0": "found y2 '', expected a finite number",
    "v1,902,32,64,96,128,1,0": "found box 32 64 96 128, expected coordinates from 0 to 1, as shares of the frame's "
    "width and height",
    "v1,902,-0.001,0.2,0.3,0.4,1,0": "found box -0.001 0.2 0.3 0.4, expected coordinates from 0 to 1, as shares of "
    "the frame's width and height",
    "v1,902,0.3,0.2,0.1,0.4,1,0": "found box 0.3 0.2 0.1 0.4, expected x1 < x2 and y1 < y2",
    "v1,902,0.1,0.2,0.3,0.2,1,0": "found box 0.1 0.2 0.3 0.2, expected x1 < x2 and y1 < y2",
    "v1,902,0.1,0.2,0.3,0.4,0,0": "found action id '0', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,81,0": "found action id '81', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,1.5,0": "found action id '1.5', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,walk,0": "found action id 'walk', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,,0": "found action id '', expected a whole number from 1 to 80",
    "v1,902,0.1,0.2,0.3,0.4,1,me": "found person id 'me', expected a whole number or nothing",
    "v1,902,0.1,0.2,0.3,0.4,1,99999999999": "found person id '99999999999', expected a whole number or nothing",
    "v1,899,0.1,0.2,0.3,0.4,1,0": "found timestamp 899 in a film that begins at timestamp 900, expected a time in "
    "the film (videos.csv sets first_timestamp and offset_seconds)",
    "v1,0902.0,0.10,0.2,0.3,0.4,1,0": "found a repetition of row 1, expected each row once",
    "v1,902,0.1,0.2,0.3,0.4,1,3": "found another person with the box and action of row 1, expected one person in a box",
    "v1,902,0.1,0.2,0.3,0.4,1": "found another person with the box and action of row 1, expected one person in a box",
    "v1,902": "found an empty keyframe that has a box in row 1, expected two columns only for a keyframe without boxes",
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_a_bad_row_is_told_and_nothing_else_is_lost(tmp_path: Path, bad: str) -> None:
    source = write_source(tmp_path, train=f"{GOOD}{bad}\nv1,0903,0.1,0.2,0.3,0.4,80,0\n")
    found = import_ava(source, classes=80)
    assert told(found) == [f"train.csv: row 2: {BAD_ROWS[bad]}"]
    assert [(row[1], row[7]) for row in rows(found)] == [(902.0, 1), (903.0, 80)]
    assert statuses(found) == [("v1", 902.0, "train", "annotated"), ("v1", 903.0, "train", "annotated")]
    assert found.rows == 3
    assert found.summary["bad_rows"] == 1
    assert list(found.summary["bad_rows_by_expectation"].values()) == [1]


def test_all_bad_rows_together_are_told_as_each_alone(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train=GOOD + "\n".join(BAD_ROWS)), classes=80)
    assert told(found) == [f"train.csv: row {row}: {text}" for row, text in enumerate(BAD_ROWS.values(), start=2)]
    assert len(rows(found)) == 1


def test_the_rounding_of_float32_is_no_fault_and_stays(tmp_path: Path) -> None:
    found = import_ava(write_source(tmp_path, train="v1,902,-0.0000001,0,1.0000001,1,1,0\n"), classes=80)
    assert rows(found)[0][3:7] == (-1e-7, 0.0, 1.0000001, 1.0)


def test_repeated_empty_keyframes_and_excluded_rows_are_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, train="v1,902\nv1,902\n", excluded_train="v1,903\nv1,903\nv1,904,1\nv1,x\n")
    found = import_ava(source, classes=80)
    assert told(found) == [
        "train.csv: row 2: found a repetition of row 1, expected each row once",
        "excluded_train.csv: row 2: found a repetition of row 1, expected each row once",
        "excluded_train.csv: row 3: found column count 3, expected 2",
        "excluded_train.csv: row 4: found timestamp 'x', expected a number of seconds",
    ]
    assert statuses(found) == [("v1", 902.0, "train", "empty"), ("v1", 903.0, "train", "excluded")]


def test_an_excluded_keyframe_of_another_split_is_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, train=GOOD, excluded_val="v1,902\nnew,902\n", excluded_test="new,903\n")
    found = import_ava(source, classes=80)
    assert told(found) == [
        "excluded_val.csv: row 1: found video 'v1' of train, expected a video of val",
        "excluded_test.csv: row 1: found video 'new' of val, expected a video of test",
    ]
    assert statuses(found) == [("new", 902.0, "val", "excluded"), ("v1", 902.0, "train", "annotated")]


def test_an_excluded_keyframe_of_a_video_that_is_not_listed_is_told(tmp_path: Path) -> None:
    source = write_source(tmp_path, videos=HEADER + "v1,train,900,0\n", train=GOOD, excluded_train="v9,902\n")
    found = import_ava(source, classes=80)
    assert told(found) == ["excluded_train.csv: row 1: found video 'v9' of no split, expected a video of train"]


def test_rows_that_are_parted_otherwise_and_wide_rows(tmp_path: Path) -> None:
    wide = GOOD.replace("v1,", '"v1, part 2",', 1)
    for text, message in (
        (GOOD.replace(",", ";"), "column count 1 (fields are parted by ';', not by commas), expected 2, 7 or 8"),
        (GOOD.replace(",", "\t"), "column count 1 (fields are parted by tabs, not by commas), expected 2, 7 or 8"),
        (wide, "column count 9, expected 2, 7 or 8"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        source = write_source(folder, train=text, val="w,903,0.1,0.2,0.3,0.4,1,0\n")
        found = import_source(source, SourceOptions(classes=80))  # a shifted column is not taken for ids from 0
        assert f"train.csv: row 1: found {message}" in map(str, found.problems)

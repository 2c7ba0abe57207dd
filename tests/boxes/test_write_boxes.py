from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.settings import Boxes
from pipeline.boxes.write_boxes import FILES, describe_rows, split_lines, write_boxes
from tests.boxes.test_importing import A, B, run, write
from tests.boxes.test_settings import WHOLE

BOXES = Boxes.model_validate(WHOLE | {"source": "SOURCE", "max_bad_fraction": 0.3})
OUTSIDE = (2, 3, 4, 5)


def test_the_files_and_what_is_said_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = [("v1", 902, A, 0.95), ("v1", 903, B, 0.62), ("w", 902, A, 0.01), ("v1", 904, OUTSIDE, 0.9)]
    found = run(write(tmp_path / "in", a_csv=boxes))
    (tmp_path / "out").mkdir()
    write_boxes(tmp_path / "out", found, BOXES)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    printed = capsys.readouterr()
    assert "a.csv: row 4: found box 2 3 4 5" in printed.out + printed.err
    assert describe_rows(found, 0.05) == (
        "2 boxes of 4 rows; left out: 1 bad, 0 of unknown videos, 1 below 0.05, 0 repeated, 0 in two files"
    )
    # With the one below the floor: the histogram shows where a floor may lie.
    assert split_lines(found.summary | {"splits": {}}) == ["scores from 0 to 1 in tenths: 1 0 0 0 0 0 1 0 0 1"]


def test_boxes_below_the_floor_alone_leave_no_out(tmp_path: Path) -> None:
    found = run(write(tmp_path / "in", a_csv=[("v1", 902, A, 0.04), ("w", 902, A, 0.031)]))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError) as error:
        write_boxes(tmp_path / "out", found, BOXES)
    assert str(error.value).startswith(
        "SOURCE: no box has a score of at least 0.05 (boxes.min_score), the highest is 0.04; set boxes.min_score, and "
    )
    assert not list((tmp_path / "out").iterdir())


def test_too_many_bad_rows_are_refused(tmp_path: Path) -> None:
    found = run(write(tmp_path / "in", a_csv=[("v1", 902, A, 0.9), ("v1", 903, OUTSIDE, 0.9)]))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"boxes\.max_bad_fraction"):
        write_boxes(tmp_path / "out", found, BOXES)

"""Bad items are written down, counted, and a run is refused where they are too many."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json
from pipeline.base.problems import LONGEST_PART, MOST_PRINTED, Problem, print_first, read_problems, report_problems

ONE = Problem("a.csv", "row 17", "1.5", "at most 1", "box-outside")
WRITTEN = {"file": "a.csv", "item": "row 17", "found": "1.5", "expected": "at most 1"}


def report(folder: Path, count: int, **changes: Any) -> None:
    values: dict[str, Any] = {"total": 20, "max_bad_fraction": 0.05, "unit": "rows", "key": "boxes.max_bad_fraction"}
    report_problems([ONE] * count, folder=folder, **{**values, **changes})


@pytest.mark.parametrize(
    ("text", "shown"), [("für a\u2009b", "für a\\u2009b"), ("a\nb\x1b[31m", "a\\nb\\x1b[31m"), ("\udcff", "\\udcff")]
)
def test_foreign_text_is_one_line_that_can_be_printed(text: str, shown: str) -> None:
    assert Problem(text, text, text, text).written() == dict.fromkeys(WRITTEN, shown)


def test_a_long_text_is_cut() -> None:
    assert len(Problem("f", "i", "x" * 9999, "e").found) < LONGEST_PART + 40


def test_what_was_written_is_read_but_for_the_kind(tmp_path: Path) -> None:
    report(tmp_path, 1)
    assert read_json(tmp_path / "problems.json") == {"total": 20, "problems": [WRITTEN]}
    assert read_problems(tmp_path / "problems.json") == [
        Problem(WRITTEN["file"], WRITTEN["item"], WRITTEN["found"], WRITTEN["expected"])
    ]
    assert read_problems(tmp_path / "problems.json") != [ONE]


@pytest.mark.parametrize(
    "content",
    [[], {}, {"problems": [1]}, {"problems": [{**WRITTEN, "kind": "x"}]}, {"problems": [{**WRITTEN, "item": 1}]}],
)
def test_another_file_is_no_list_of_problems(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "problems.json", content)
    with pytest.raises(InputError) as error:
        read_problems(tmp_path / "problems.json")
    assert str(error.value) == (
        f"{tmp_path / 'problems.json'}: is not the list of problems that a stage writes; run the stage again"
    )


def test_a_share_above_the_limit_is_refused_after_it_is_written(tmp_path: Path) -> None:
    report(tmp_path, 1)  # exactly the limit
    with pytest.raises(InputError) as error:
        report(tmp_path, 2)
    assert str(error.value) == (
        "2 of 20 rows are bad, more than boxes.max_bad_fraction 0.05 lets pass; the first: a.csv: row 17: found 1.5, "
        "expected at most 1"
    )
    assert len(read_problems(tmp_path / "problems.json")) == 2
    with pytest.raises(InputError, match=r"^1 of 20 rows are bad, more than boxes\.max_bad_fraction 0 lets pass"):
        report(tmp_path, 1, max_bad_fraction=0)


def test_several_problems_of_one_item_are_one_bad_item_and_what_was_never_brought_is_none(tmp_path: Path) -> None:
    report(tmp_path, 3, bad=1, missing=[ONE, ONE])
    assert read_json(tmp_path / "problems.json")["missing"] == [WRITTEN] * 2
    report(tmp_path, 0, total=0, max_bad_fraction=0)


def test_the_first_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_first([ONE] * (MOST_PRINTED + 5))
    assert capsys.readouterr().err == "a.csv: row 17: found 1.5, expected at most 1\n" * MOST_PRINTED

import pytest

from pipeline.base.problems import Problem
from pipeline.doctor.left_out import KINDS, kind_of, sort_problems, too_many_bad


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("box-in-pixels", "box 64 36 192 216", "coordinates from 0 to 1, as shares of the frame's width and height"),
        ("box-outside", "box -0.02 0.1 0.4 1.01", "coordinates from 0 to 1, as shares of the frame's width and height"),
        (
            "box-outside",
            "box 600 0 700 90 (left, top, right, bottom) in a frame of 640 x 360",
            "a box in pixels inside the frame",
        ),
        ("box-inverted", "box 0.5 0.2 0.1 0.8", "x1 < x2 and y1 < y2"),
        ("box-zero-area", "box 0.5 0.2 0.7 0.2", "x1 < x2 and y1 < y2"),
        (
            "box-zero-area",
            "box 9 9 9 20 (left, top, right, bottom) in a frame of 640 x 360",
            "a width and a height above 0",
        ),
        ("unknown-action", "action id '0'", "a whole number from 1 to 80"),
        ("unknown-action", "class 81", "one of the 80 classes (dataset.classes)"),
        ("unknown-action", "action 'jog'", "a class of the label map: walk, sit, wave"),
        ("repeated", "a repetition of row 1", "each row once"),
        ("conflicting", "another person with the box and action of row 2", "one person in a box"),
        ("unreadable", "person id 'x'", "a whole number or nothing"),
        ("unreadable", "score '7'", "a number from 0 to 1"),
        ("in-two-files", "3 boxes", "each box in one file"),
    ],
)
def test_the_kind_of_a_fault(kind: str, found: str, expected: str) -> None:
    assert kind_of(Problem("f.csv", "row 1", found, expected)) == kind


def test_problems_are_sorted_by_kind_with_three_examples() -> None:
    problems = [Problem("f.csv", f"row {n}", "a repetition of row 1", "each row once") for n in range(2, 9)]
    (finding,) = sort_problems(problems, "annotation")
    assert (finding.code, finding.count) == ("annotation-repeated", 7)
    assert [each.item for each in finding.examples] == ["row 2", "row 3", "row 4"]
    assert all(title and remedy for _, title, remedy in KINDS.values())


def test_a_share_of_bad_rows_at_which_a_stage_ends() -> None:
    problems = [Problem("f.csv", f"row {n}", "x", "y") for n in (1, 2)]
    limits = {"prefix": "annotation", "stage": "import_annotations", "key": "dataset.max_bad_fraction"}
    assert too_many_bad(problems, 2, 40, 0.05, **limits) == []
    (finding,) = too_many_bad(problems, 2, 39, 0.05, **limits)
    assert (finding.count, finding.examples[0].found) == (2, "2 of 39 bad")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.problems import Fault
from pipeline.boxes.box_rows import BoxDraft, draft_box_rows

SIDE = st.integers(-3, 43).map(lambda quarter: quarter / 2)


@given(box=st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_a_box_is_its_share_of_the_frame_and_what_is_more_than_a_pixel_outside_is_told(box: tuple[float, ...]) -> None:
    size = (20.0, 10.0)
    rows = draft_box_rows("f", "csv", [BoxDraft("box 1", "a", 1.0, box, size, 0.5)])
    x1, y1, x2, y2 = (min(max(value, 0), side) for value, side in zip(box, (*size, *size), strict=True))
    near = max(abs(a - b) for a, b in zip(box, (x1, y1, x2, y2), strict=True)) <= 1
    is_good = near and x1 < x2 and y1 < y2
    assert rows.faults.bad.tolist() == [not is_good]
    if is_good:
        np.testing.assert_array_equal(rows.boxes_xyxy[0], [x1 / 20, y1 / 10, x2 / 20, y2 / 10])


GOOD = BoxDraft("box 1", "a", 1.0, (1, 1, 4, 4), (10, 10), 0.5)


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (GOOD._replace(score=1.5), "score 1.5, expected a number from 0 to 1"),
        (GOOD._replace(score=np.nan), "score nan, expected a number from 0 to 1"),
        (GOOD._replace(timestamp=np.nan), "timestamp nan, expected a number of seconds"),
        (
            GOOD._replace(box=(1, 1, 40, 4)),
            "box 1 1 40 4 (left, top, right, bottom) in a frame of 10 x 10, expected a box in pixels inside the frame",
        ),
        (
            GOOD._replace(box=(1, 4, 4, 4)),
            "box 1 4 4 4 (left, top, right, bottom) in a frame of 10 x 10, expected a width and a height above 0",
        ),
        (GOOD._replace(score=7, fault=Fault("words", "a box")), "words, expected a box"),
    ],
)
def test_a_draft_that_cannot_be_used_is_told_once(draft: BoxDraft, message: str) -> None:
    rows = draft_box_rows("f.csv", "csv", [GOOD, draft._replace(place="box 2")], not_persons=3, note="n")
    assert [str(each) for each in rows.faults.problems()] == [f"f.csv: box 2: found {message}"]
    assert rows.faults.bad.tolist() == [False, True]
    assert (len(rows), rows.not_persons, rows.note) == (2, 3, "n")


def test_a_keyframe_without_a_box_needs_neither_box_nor_score() -> None:
    rows = draft_box_rows("f.csv", "csv", [BoxDraft("row 1", "a", 1.0, empty=True)])
    assert rows.faults.problems() == []

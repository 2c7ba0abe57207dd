import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.drafts import Draft, draft_rows, pixel_box, with_empty
from pipeline.base.problems import Fault

BOX = (0.1, 0.2, 0.3, 0.4)
PIXELS = st.floats(-50, 250)


@given(box=st.tuples(PIXELS, PIXELS, PIXELS, PIXELS), size=st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_what_lies_up_to_a_pixel_outside_is_brought_to_the_edge_and_nothing_else_moves(
    box: tuple[float, ...], size: tuple[int, int]
) -> None:
    for before, share, side in zip(box, pixel_box(box, size), (*size, *size), strict=True):
        if 0 <= before <= side or before < -1 or before > side + 1:
            assert share == before / side
        else:
            assert share == (0 if before < 0 else 1)


KEYS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=8)


@given(seen=KEYS, keyframes=KEYS)
def test_a_keyframe_is_empty_once_and_only_where_nobody_is_seen(
    seen: list[tuple[str, int]], keyframes: list[tuple[str, int]]
) -> None:
    drafts = [Draft(f"box {i}", *key, box=BOX) for i, key in enumerate(seen)]
    found = with_empty(drafts, [Draft(f"frame {i}", *key) for i, key in enumerate(keyframes)])
    assert found[: len(drafts)] == drafts
    empty = found[len(drafts) :]
    assert [(each.video_id, each.timestamp) for each in empty] == sorted({*keyframes} - {*seen})
    assert [keyframes.index((each.video_id, int(each.timestamp))) for each in empty] == [
        int(each.place.removeprefix("frame ")) for each in empty
    ]  # of several the first


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (Draft("box 1", "a", 1.0, BOX, 3), "found class 3, expected one of the 2 classes (dataset.classes)"),
        (Draft("box 1", "a", 1.0, BOX, 0), "found class 0, expected one of the 2 classes (dataset.classes)"),
        (Draft("box 1", "a", box=BOX, action=1), "found timestamp nan, expected a number of seconds"),
        (Draft("box 1", "a", 1.0, (0.3, 0.2, 0.1, 0.4), 1), "found box 0.3 0.2 0.1 0.4, expected x1 < x2 and y1 < y2"),
        (Draft("box 1", "a", 1.0, BOX, 9, fault=Fault("a line", "a box")), "found a line, expected a box"),
    ],
)
def test_a_draft_that_cannot_be_used_is_told_once(draft: Draft, message: str) -> None:
    rows = draft_rows("film.xml", [Draft("box 0", "a", 1.0, BOX, 2, 7), draft], classes=2)
    assert [str(each) for each in rows.faults.problems()] == [f"film.xml: box 1: {message}"]
    assert rows.good().tolist() == [0]


def test_drafts_become_columns() -> None:
    drafts = [Draft("1", "b", 2.0, BOX, 2, 7), Draft("2", "a", 1.0), Draft("3", "a", 3.0, BOX, 1)]
    rows = draft_rows("film.xml", drafts, classes=2)
    assert rows.faults.problems() == []
    assert [rows.video_ids[place] for place in rows.video] == ["b", "a", "a"]
    assert rows.empty.tolist() == [False, True, False]
    np.testing.assert_array_equal(rows.person, [7, np.nan, np.nan])
    np.testing.assert_array_equal(rows.action, [2, np.nan, 1])
    np.testing.assert_array_equal(rows.boxes_xyxy, [BOX, [np.nan] * 4, BOX])

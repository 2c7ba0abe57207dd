import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.scene import best_score_on, distinct_boxes
from pipeline.tables.schemas import BOX_COLUMNS
from tests.analysis.test_error_kinds import FAR, LEFT, LEFT_SHIFTED, RIGHT, SIT, WALK, WAVE, found_in

ROWS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([LEFT, RIGHT, FAR]), st.booleans()), max_size=10)


@given(rows=ROWS)
def test_a_box_of_a_frame_is_one_however_many_rows_it_has(rows: list[tuple[int, tuple[float, ...], bool]]) -> None:
    corners = np.array([box for _, box, _ in rows], np.float64).reshape(-1, 4)
    table = pa.table({name: corners[:, place] for place, name in enumerate(BOX_COLUMNS)})
    frame, takes_part = np.array([row[0] for row in rows], np.int64), np.array([row[2] for row in rows], bool)
    found = distinct_boxes(table, frame, takes_part)
    boxes = [(int(at), tuple(box)) for at, box in zip(found.frame, found.xyxy.tolist(), strict=True)]
    assert len(set(boxes)) == len(boxes)
    assert set(boxes) == {(at, box) for at, box, is_there in rows if is_there}
    for (at, box, is_there), place in zip(rows, found.of_row.tolist(), strict=True):
        assert (place == -1) == (not is_there)
        if is_there:
            assert boxes[place] == (at, box)


def test_what_persons_do_and_boxes_are_scored_for() -> None:
    labels = [(1, LEFT, WALK), (1, LEFT, SIT), (1, RIGHT, 9)]
    rows = [(1, LEFT, WALK, 0.5), (1, LEFT, WALK, 0.25), (1, LEFT, WAVE, 0.75), (1, LEFT_SHIFTED, WALK, 0.9)]
    scene = found_in(labels, rows).scene
    assert scene.persons.xyxy.tolist() == [list(LEFT), list(RIGHT)]
    assert scene.does.tolist() == [[True, False, True], [False, False, False]]
    assert scene.score.tolist() == [[0.5, 0.75, 0], [0.9, 0, 0]]
    pairs = scene.overlaps
    assert list(zip(pairs.box.tolist(), pairs.person.tolist(), strict=True)) == [(0, 0), (1, 0)]  # not the far one
    assert pairs.is_right.tolist() == [True, False]
    assert best_score_on(scene).tolist() == [0.75, 0]

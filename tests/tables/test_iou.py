import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.iou import box_iou, match_proposals


def _boxes(values: list) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 4)


def test_the_threshold_itself_matches_and_the_best_box_wins() -> None:
    truth = _boxes([[0, 0, 10, 10], [0, 0, 10, 9]])
    match, overlap = match_proposals(_boxes([[0, 0, 10, 9], [0, 0, 10, 9.8], [0, 0, 10, 8]]), truth)
    assert match.tolist() == [1, 0, -1]
    assert overlap == pytest.approx([1, 0.98, 8 / 9])
    assert match_proposals(_boxes([[0, 0, 10, 9]]), truth[:1])[0].tolist() == [0]


def test_each_of_two_boxes_that_nearly_coincide_keeps_its_best_proposal() -> None:
    truth = _boxes([[0, 0, 100, 100], [0, 0, 100, 97]])
    # Both overlap the first box more; the second box's best is the second of them, and so is no longer the first's.
    match, overlap = match_proposals(_boxes([[0, 0, 100, 99.5], [0, 0, 100, 98.6]]), truth)
    assert match.tolist() == [0, 1]
    assert overlap == pytest.approx([0.995, 0.986])
    # One proposal alone is the best of both: the later box takes it.
    assert match_proposals(_boxes([[0, 0, 100, 99.5]]), truth)[0].tolist() == [1]
    assert match_proposals(_boxes([[0, 0, 100, 99.5]]), truth, match_iou=0.98)[0].tolist() == [0]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5), st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5))
def test_overlaps_lie_between_0_and_1_also_for_boxes_without_area(first: list, second: list) -> None:
    iou = box_iou(_boxes(first), _boxes(second))
    assert iou.shape == (len(first), len(second))
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
    np.testing.assert_allclose(box_iou(_boxes(second), _boxes(first)).T, iou)

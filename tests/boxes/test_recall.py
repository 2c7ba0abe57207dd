"""What thresholds keep of the persons whom boxes cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.boxes.recall import KEPT_RECALL, USUAL_THRESHOLD, covering, kept, propose_threshold, recall
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes

NONE = -np.inf
SCORES = st.lists(st.one_of(st.floats(0.001, 1), st.just(NONE)), max_size=40)


@given(SCORES)
def test_the_proposed_threshold_keeps_what_it_says_and_no_higher_one_does(values: list[float]) -> None:
    scores = np.array(values, np.float64)
    proposed = propose_threshold(scores)
    assert 0 < proposed <= USUAL_THRESHOLD
    assert kept(scores, proposed) >= KEPT_RECALL
    higher = proposed * 1.1 + 0.01  # it is rounded to two digits
    if proposed < USUAL_THRESHOLD and higher < USUAL_THRESHOLD:
        assert kept(scores, higher) < KEPT_RECALL


@pytest.mark.parametrize(
    ("scores", "proposed"),
    [
        ([], 0.9),
        ([NONE, NONE], 0.9),
        ([0.95] * 19 + [0.2], 0.9),  # 95 % are kept by the usual one
        ([0.95] * 18 + [0.2] * 2, 0.2),
        ([0.95, 0.345, 0.99], 0.34),
        ([0.29] * 3, 0.29),  # as it stands, and not the hundredth below
        ([0.0123], 0.012),
        ([0.0], 0.0),
        ([0.97] * 10, 0.9),
    ],
)
def test_thresholds_in_two_digits(scores: list[float], proposed: float) -> None:
    assert propose_threshold(np.array(scores)) == proposed


def test_a_person_is_covered_by_the_best_score_among_the_boxes_that_overlap_enough() -> None:
    person = np.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0], [0.4, 0.4, 0.5, 0.5]])
    proposals = np.array([[0.0, 0.0, 0.3, 1.0], [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.9, 1.0]])
    each = KeyframeBoxes(Keyframe("a", 1.0, 1.0), person, np.ones((3, 1), bool), proposals, np.array([0.9, 0.4, 0.3]))
    found = covering(pack_keyframes([each, each]), (0.5, 0.9))
    assert found[0.5].tolist() == [0.9, 0.3, NONE] * 2
    assert found[0.9].tolist() == [0.4, NONE, NONE] * 2
    assert recall(found[0.5]) == pytest.approx(2 / 3)
    assert recall(found[0.5], 0.5) == pytest.approx(1 / 3)
    assert kept(found[0.5], 0.5) == 0.5
    assert recall(np.zeros(0)) == 0
    assert kept(np.zeros(0), 0.5) == 1

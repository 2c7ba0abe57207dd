import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_map import evaluate
from tests.evaluation.test_ava_map import BOX, boxes


def test_inverted_ground_truth_is_refused_once_it_is_compared():
    truth = boxes([("a", 902, 0.5, 0.1, 0.1, 0.5, 1, 0)], "person_id")
    assert evaluate(truth, boxes([("a", 903, *BOX, 1, 0.5)], "score"), class_ids=[1]).map == 0.0
    with pytest.raises(
        InputError, match=r"^ground truth: a,902: box is 0.5,0.1,0.1,0.5, expected x1 <= x2 and y1 <= y2$"
    ):
        evaluate(truth, boxes([("a", 902, *BOX, 1, 0.5)], "score"), class_ids=[1])


def test_person_ids_decide_only_at_equal_overlap_and_ids_beyond_the_map_are_passed_over():
    truth = boxes([("a", 902, *BOX, 1, 0), ("a", 902, *BOX, 2**31 - 1, 0), ("a", 902, *BOX, -5, 0)], "person_id")
    found = boxes([("a", 902, *BOX, 1, 0.5), ("a", 902, *BOX, 2**31 - 1, 0.5), ("a", 902, *BOX, -5, 0.5)], "score")
    result = evaluate(truth, found, class_ids=[1, 3])
    assert result.num_gt.tolist() == [1, 0]
    assert result.map == 1.0

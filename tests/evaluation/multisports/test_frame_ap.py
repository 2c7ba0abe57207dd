import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_map import score_matching
from pipeline.evaluation.multisports.frame_ap import match_frames
from tests.evaluation.multisports.tables import annotations, detections, keyframes

A, B = (0.0, 0.0, 0.2, 0.5), (0.5, 0.0, 0.7, 0.5)


def ap(truth: list[tuple], found: list[tuple], status: str = "annotated") -> list[float]:
    named = keyframes([("a", 0, "annotated"), ("a", 1, status)])
    matching = match_frames(annotations(truth), named, detections(found), [1, 2])
    return [float(each) for each in score_matching(matching, 0.5).ap]


def test_the_second_box_on_one_person_is_wrong_and_so_is_one_in_a_frame_of_nobody() -> None:
    truth = [("a", 0, 1, A, 0), ("a", 0, 1, B, 1), ("a", 0, 2, A, 0)]
    twice = [("a", 0, 1, A, 0.9), ("a", 0, 1, A, 0.8), ("a", 0, 1, B, 0.7), ("a", 0, 2, A, 0.5)]
    assert ap(truth, twice) == pytest.approx([(1 + 2 / 3) / 2, 1])
    assert ap(truth, [*twice, ("a", 7, 2, A, 0.6)]) == pytest.approx([(1 + 2 / 3) / 2, 1 / 2])


def test_nothing_in_an_excluded_frame_counts() -> None:
    truth = [("a", 0, 1, A, 0), ("a", 1, 1, A, 0), ("a", 0, 2, A, 0)]
    found = [("a", 0, 1, A, 0.5), ("a", 1, 1, B, 0.9)]
    assert ap(truth, found) == pytest.approx([1 / 4, 0])
    assert ap(truth, found, "excluded") == [1, 0]


def test_a_box_without_a_width_is_wrong_and_an_inverted_one_is_refused() -> None:
    truth, right = [("a", 0, 1, A, 0), ("a", 0, 2, A, 0)], ("a", 0, 1, A, 0.5)
    assert ap(truth, [("a", 0, 1, (0.1, 0.0, 0.1, 0.5), 0.9), right])[0] == 0.5
    with pytest.raises(InputError, match=r"^detections: a,0: box is 0\.2,0,0,0\.5, expected x1 <= x2 and y1 <= y2$"):
        ap(truth, [("a", 0, 1, (0.2, 0.0, 0.0, 0.5), 0.9), right])

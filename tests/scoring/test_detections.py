"""Scores of boxes as rows of the detections table."""

import numpy as np

from pipeline.scoring.detections import ScoredKeyframe, detections_table, no_score_above
from pipeline.tables.keyframes import Keyframe
from pipeline.tables.schemas import DETECTIONS

BOXES = np.array([[0.1, 0.1, 0.4, 0.8], [0.5, 0.1, 0.9, 0.9], [0.2, 0.3, 0.6, 0.7]])


def test_rows_go_keyframe_by_keyframe_box_by_box_and_by_class() -> None:
    scores = np.array([[0.25, 0.5], [0.75, 0.125]], np.float32)
    scored = [
        ScoredKeyframe(Keyframe("b", 901.5, 1.5), BOXES[:2], scores),
        ScoredKeyframe(Keyframe("a", 900, 0), BOXES[2:], scores[:1]),
    ]
    table = detections_table(scored, action_threshold=0.0)
    assert table.schema == DETECTIONS
    assert table["video_id"].to_pylist() == ["b"] * 4 + ["a"] * 2
    assert table["timestamp"].to_pylist() == [901.5] * 4 + [900] * 2
    assert table["time_seconds"].to_pylist() == [1.5] * 4 + [0] * 2
    assert table["x2"].to_pylist() == [0.4, 0.4, 0.9, 0.9, 0.6, 0.6]
    assert table["action_id"].to_pylist() == [1, 2] * 3
    assert table["score"].to_pylist() == [0.25, 0.5, 0.75, 0.125, 0.25, 0.5]


def test_a_score_at_the_threshold_is_no_row_and_without_keyframes_there_is_an_empty_table() -> None:
    scored = [ScoredKeyframe(Keyframe("a", 900, 0), BOXES[:1], np.array([[0.25, 0.5]], np.float32))]
    assert detections_table(scored, action_threshold=0.25)["action_id"].to_pylist() == [2]
    for none in ([], [ScoredKeyframe(Keyframe("a", 900, 0), BOXES[:0], np.empty((0, 2), np.float32))]):
        table = detections_table(none, action_threshold=0.0)
        assert (len(table), table.schema) == (0, DETECTIONS)


def test_argmax_gives_a_box_its_best_class_if_that_is_above_the_threshold() -> None:
    scores = np.array([[0.25, 0.5, 0.5], [0.75, 0.125, 0.25], [0.25, 0.25, 0.125]], np.float32)
    scored = [
        ScoredKeyframe(Keyframe("a", 900, 0), BOXES, scores),
        ScoredKeyframe(Keyframe("a", 901, 1), BOXES[:0], scores[:0]),
    ]

    def rows(threshold: float, decode) -> list[tuple]:
        table = detections_table(scored, action_threshold=threshold, decode=decode)
        return list(zip(*(table[name].to_pylist() for name in ("x1", "action_id", "score")), strict=True))

    assert rows(0.0, "argmax") == [(0.1, 2, 0.5), (0.5, 1, 0.75), (0.2, 1, 0.25)]
    assert rows(0.25, "argmax") == [(0.1, 2, 0.5), (0.5, 1, 0.75)]
    assert rows(0.25, "all") == [(0.1, 2, 0.5), (0.1, 3, 0.5), (0.5, 1, 0.75)]
    assert detections_table(scored, action_threshold=0.25).equals(
        detections_table(scored, action_threshold=0.25, decode="all")
    )


def test_boxes_whose_scores_are_all_below_the_threshold_are_told() -> None:
    none = ScoredKeyframe(Keyframe("a", 901, 1), BOXES[:0], np.empty((0, 2), np.float32))
    scored = [ScoredKeyframe(Keyframe("a", 900, 0), BOXES[:2], np.full((2, 2), 0.25, np.float32)), none]
    assert no_score_above(scored, action_threshold=0.125) is None
    assert no_score_above([none], action_threshold=0.125) is None
    assert no_score_above(scored, action_threshold=0.25) == (
        "no detection: the highest score of 2 boxes is 0.25, and evaluation.action_threshold is 0.25"
    )

import pytest

from pipeline.evaluation.validate import of_split, validation_metrics
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES
from tests.evaluation.test_report import table

BOX, FAR = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
LABELS = [Label(1, "walk", "move"), Label(2, "run", "move"), Label(3, "talk", "meet")]
KEYS = table(KEYFRAMES, [("a", 1.0, 0.0, "val", "annotated"), ("b", 1.0, 0.0, "train", "annotated")])
TRUTH = table(ANNOTATIONS, [("a", 1.0, 0.0, *BOX, each, 0) for each in (1, 2)] + [("b", 1.0, 0.0, *BOX, 3, 0)])


def test_a_split_has_its_own_films() -> None:
    truth, keyframes = of_split(TRUTH, KEYS, "val")
    assert keyframes["video_id"].to_pylist() == ["a"]
    assert truth["video_id"].to_pylist() == ["a", "a"]


def test_every_kind_of_boxes_has_a_map_and_one_of_each_group() -> None:
    """Walking is found, running is not, and of the group `meet` there is nothing to find."""
    truth, keyframes = of_split(TRUTH, KEYS, "val")
    detections = {
        "detected": table(DETECTIONS, [("a", 1.0, 0.0, *BOX, 1, 0.9), ("a", 1.0, 0.0, *FAR, 2, 0.9)]),
        "ground_truth": table(DETECTIONS, [("a", 1.0, 0.0, *BOX, each, 0.9) for each in (1, 2)]),
    }
    found = validation_metrics(
        detections, annotations=truth, keyframes=keyframes, labels=LABELS, headline="ground_truth"
    )
    assert found == {
        "map": pytest.approx(1.0),
        "map_detected": pytest.approx(0.5),
        "move_detected": pytest.approx(0.5),
        "meet_detected": None,
        "map_ground_truth": pytest.approx(1.0),
        "move_ground_truth": pytest.approx(1.0),
        "meet_ground_truth": None,
    }

from dataclasses import replace

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.predict.scored_seconds import scored_seconds, threshold_array
from tests.predict.made import Person, predicted

OTHER = (0.5, 0.2, 0.7, 0.4)


def test_the_persons_of_each_second_with_the_scores_of_every_class() -> None:
    found = predicted(
        Person(1.5, 7, {1: 0.75, 4: 0.5}),
        Person(1.5, None, {2: 0.25}, OTHER),
        Person(0.5, 7),
        Person(1.5, 7, {2: 1.0}, film="b"),
    )
    seconds = scored_seconds(found)
    assert [(each.video_id, each.timestamp, each.time_seconds) for each in seconds] == [
        ("a", 0.0, 0.5), ("a", 1.0, 1.5), ("b", 1.0, 1.5),
    ]  # fmt: skip
    assert [each.tracks for each in seconds] == [[7], [7, None], [7]]
    assert [each.scores.tolist() for each in seconds] == [[[0, 0, 0]], [[0.75, 0, 0.5], [0, 0.25, 0]], [[0, 1.0, 0]]]
    assert seconds[1].boxes_xyxy.tolist() == [[0.1, 0.2, 0.3, 0.4], list(OTHER)]


def test_boxes_of_detections_that_were_rounded_to_float32_are_found() -> None:
    found = predicted(Person(1.5, 7, {1: 0.75}))
    at = found.detections.schema.get_field_index("x1")
    rounded = found.detections.set_column(at, found.detections.schema.field(at), [[float(np.float32(0.1))]])
    assert scored_seconds(replace(found, detections=rounded))[0].scores[0, 0] == 0.75


def test_classes_without_a_label_are_left_out() -> None:
    assert scored_seconds(predicted(Person(1.5, 7, {3: 0.75})))[0].scores.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("other", [predicted(Person(1.5, box=OTHER)), predicted(Person(3.5))])
def test_a_detection_whose_person_is_absent_is_refused(other) -> None:
    found = predicted(Person(1.5, 7, {1: 0.75}))
    with pytest.raises(InputError) as error:
        scored_seconds(replace(found, persons=other.persons))
    assert str(error.value) == (
        "detections.parquet: video a, timestamp 1: a box that persons.parquet does not have; predict again"
    )


def test_no_person_is_no_second() -> None:
    assert scored_seconds(predicted()) == []


def test_thresholds() -> None:
    found = predicted()
    assert threshold_array(found).tolist() == [0.5, 0.25, 0.8]
    assert threshold_array(replace(found, model={"thresholds": {"2": 1}})).tolist() == [np.inf, 1.0, np.inf]
    with pytest.raises(InputError) as error:
        threshold_array(replace(found, model={"thresholds": {"2": 1.5}}))
    assert str(error.value) == "model.json: the threshold of action 2 (wave) is 1.5, expected a score, 0 to 1"
    with pytest.raises(InputError) as error:
        threshold_array(replace(found, model={}))
    assert str(error.value) == ("model.json: has no thresholds, expected a score for each action id; predict again")

import pyarrow as pa
import pytest

from pipeline.predict.moving import ShownAction, ShownFilm, ShownMoment, ShownPerson, film_scene, spans
from pipeline.predict.predicted import Predicted
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS
from tests.predict.results import LABELS, Row, tables

LEFT, RIGHT = (0.0, 0.2, 0.2, 0.8), (0.4, 0.2, 0.6, 0.8)


def scene(*rows: Row) -> ShownFilm:
    detections, persons = tables("a", rows)
    other, others = tables("b", [(0.0, 9, LEFT, {1: 1.0})])
    return film_scene(
        Predicted(
            pa.concat_tables([other, detections]),
            pa.concat_tables([others, persons]),
            VIDEOS.empty_table(),
            LABELS,
            {"thresholds": {"1": 0.5, "2": 0.25}},
        ),
        "a",
    )


def test_a_track_moves_evenly_between_two_predictions() -> None:
    found = scene((1.0, 3, LEFT, {1: 0.6}), (2.0, 3, RIGHT, {2: 0.5}))
    (early,), (late,) = found.at(1.25), found.at(1.75)
    assert early.box_xyxy == pytest.approx((0.1, 0.2, 0.3, 0.8))
    assert late.box_xyxy == pytest.approx((0.3, 0.2, 0.5, 0.8))
    assert early.person.track_id == late.person.track_id == 3
    assert early.actions == (ShownAction(1, "stand", 0.6),), "those of the nearer prediction"
    assert late.actions == (ShownAction(2, "wave", 0.5),)


def test_a_person_is_shown_half_a_step_before_the_first_and_after_the_last() -> None:
    found = scene((1.0, 0, LEFT, {}), (2.0, 0, RIGHT, {}))
    assert [bool(found.at(seconds)) for seconds in (0.49, 0.5, 2.49, 2.5)] == [False, True, True, False]
    assert found.at(0.6)[0].box_xyxy == LEFT
    assert found.at(2.4)[0].box_xyxy == RIGHT


def test_one_absent_prediction_is_bridged_and_a_long_gap_is_not() -> None:
    short = scene((0.0, 0, LEFT, {}), (0.0, 1, RIGHT, {}), (1.0, 1, RIGHT, {}), (2.0, 0, RIGHT, {}))
    assert short.at(1.0)[0].box_xyxy == pytest.approx((0.2, 0.2, 0.4, 0.8))
    long = scene((0.0, 0, LEFT, {}), (1.0, 0, LEFT, {}), (2.0, 0, LEFT, {}), (5.0, 0, RIGHT, {}))
    assert not long.at(3.5)
    assert [each.box_xyxy for each in long.at(4.6)] == [RIGHT]
    assert spans(long.persons[0].moments, 1.0) == [(-0.5, 2.5), (4.5, 5.5)]


def test_actions_below_their_thresholds_are_left_out_and_the_best_come_first() -> None:
    (shown,) = scene((0.0, 0, LEFT, {1: 0.49, 2: 0.25})).at(0.0)
    assert shown.actions == (ShownAction(2, "wave", 0.25),)
    (shown,) = scene((0.0, 0, LEFT, {1: 0.5, 2: 0.75})).at(0.0)
    assert [each.id for each in shown.actions] == [2, 1]


def test_boxes_without_a_track_stand_still() -> None:
    found = scene((0.0, None, LEFT, {}), (1.0, None, RIGHT, {}), (1.0, 4, LEFT, {}))
    assert [(each.person.track_id, each.box_xyxy) for each in found.at(0.4)] == [(None, LEFT)]
    assert [each.person.track_id for each in found.at(0.6)] == [4, None]


def test_a_film_without_a_person_has_an_empty_scene() -> None:
    found = film_scene(Predicted(DETECTIONS.empty_table(), BOXES.empty_table(), VIDEOS.empty_table(), LABELS, {}), "a")
    assert found.persons == []
    assert found.at(0.0) == []


def test_moments_of_a_part_of_the_film() -> None:
    person = ShownPerson(1, [ShownMoment(float(second), LEFT, ()) for second in range(10)])
    assert [each.seconds for each in person.within(2.5, 5.0)] == [3.0, 4.0, 5.0]

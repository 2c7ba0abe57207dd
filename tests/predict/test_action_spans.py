from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.action_spans import SpanRules, find_spans, usual_step, write_spans
from tests.predict.made import Person, predicted


def walk(*scores: float | None, track: int | None = 3, step: float = 1.0) -> list[Person]:
    """One person with a score of action 1 (threshold 0.5) every second; None is a second without a box."""
    return [Person(step * (n + 0.5), track, {1: each}) for n, each in enumerate(scores) if each is not None]


def spans(*persons: Person, frames: int = 250, **rules: float) -> list[tuple[float, float, float]]:
    found = list(find_spans(predicted(*persons, frames=frames), SpanRules(**rules)))
    return [(each.start_seconds, each.end_seconds, round(each.mean_score, 9)) for each in found]


def test_a_span_begins_at_the_upper_level_and_goes_on_to_both_sides_at_the_lower() -> None:
    scores = walk(0.3, 0.4, 0.5, 0.45, 0.37, 0.9)
    assert spans(*scores) == [(1.0, 4.0, 0.45), (5.0, 6.0, 0.9)]
    assert spans(*scores, keep=1.0) == [(2.0, 3.0, 0.5), (5.0, 6.0, 0.9)]
    assert spans(*scores, start=1.6) == [(5.0, 6.0, 0.9)]
    assert spans(*scores, keep=0.6) == [(0.0, 6.0, round((0.3 + 0.4 + 0.5 + 0.45 + 0.37 + 0.9) / 6, 9))]
    assert spans(*walk(0.4, 0.49)) == []


def test_short_spans_are_left_out() -> None:
    scores = walk(0.9, 0.1, 0.6, 0.6, 0.6)
    assert spans(*scores, min_seconds=1.0) == [(0.0, 1.0, 0.9), (2.0, 5.0, 0.6)]
    assert spans(*scores, min_seconds=1.5) == spans(*scores, min_seconds=3.0) == [(2.0, 5.0, 0.6)]
    assert spans(*scores, min_seconds=3.1) == []


def test_missed_boxes_are_bridged_and_do_not_count_for_the_mean() -> None:
    assert spans(*walk(0.6, 0.6, None, None, 0.9)) == [(0.0, 5.0, 0.7)]
    assert spans(*walk(0.6, 0.6, None, None, None, 0.9)) == [(0.0, 2.0, 0.6), (5.0, 6.0, 0.9)]
    assert spans(*walk(0.6, 0.6, None, None, 0.9), bridge_seconds=1) == [(0.0, 2.0, 0.6), (4.0, 5.0, 0.9)]
    assert spans(*walk(0.6, None, 0.1, 0.6)) == [(0.0, 1.0, 0.6), (3.0, 4.0, 0.6)]


def test_a_second_stands_for_half_a_step_to_either_side_within_the_film() -> None:
    half = walk(0.6, 0.6, 0.6, step=0.5)
    assert spans(*half, frames=36) == [(0.0, 1.44, 0.6)]
    assert spans(Person(0.2, 3, {1: 0.6}), Person(1.2, 3, {1: 0.1})) == []
    assert spans(Person(0.6, 3, {1: 0.6}), Person(1.6, 3, {1: 0.1})) == [(0.6 - 0.5, 1.1, 0.6)]
    assert usual_step([1.5, 2.5, 2.5, 3.5, 9.5]) == 1.0
    assert usual_step([1.5]) == 1.0


def test_of_two_boxes_of_a_track_at_one_time_each_class_has_the_higher_score() -> None:
    both = (Person(0.5, 3, {1: 0.6, 2: 0.7}), Person(0.5, 3, {1: 0.8, 2: 0.6}, (0.5, 0.5, 0.6, 0.6)))
    found = find_spans(predicted(*both), SpanRules())
    assert [(each.action_id, round(each.mean_score, 9)) for each in found] == [(1, 0.8), (2, 0.7)]


def test_each_track_film_and_action_has_its_own_spans() -> None:
    found = list(find_spans(
        predicted(
            Person(0.5, 9, {1: 0.6, 2: 0.3}), Person(0.5, 4, {4: 0.8}, (0.5, 0.5, 0.6, 0.6)),
            Person(0.5, 9, {2: 0.9}, film="b"), Person(0.5, None, {1: 0.9}, (0.7, 0.5, 0.8, 0.6)),
        ),
        SpanRules(),
    ))  # fmt: skip
    assert [(each.video_id, each.track_id, each.action_id, each.action) for each in found] == [
        ("a", 4, 4, "carry/hold (an object)"), ("a", 9, 1, "stand"), ("a", 9, 2, "wave"), ("b", 9, 2, "wave"),
    ]  # fmt: skip


def test_of_two_boxes_of_a_track_the_better_score_counts() -> None:
    twice = [Person(0.5, 3, {1: 0.1}), Person(0.5, 3, {1: 0.7}, (0.5, 0.5, 0.6, 0.6))]
    assert spans(*twice) == [(0.0, 1.0, 0.7)]


def test_the_table(tmp_path: Path) -> None:
    found = predicted(
        *walk(0.6, 0.7), Person(0.5, None, {1: 0.9}, (0.5, 0.5, 0.6, 0.6)), Person(0.5, 5, {4: 0.9}, (0, 0, 1, 1))
    )
    path = tmp_path / "actions.csv"
    said = write_spans(found, path, SpanRules())
    assert said == f"{path}: written: 2 spans of 2 tracks; 1 boxes without a track id are in no span"
    assert path.read_text() == (
        "video_id,track_id,action_id,action,start_seconds,end_seconds,mean_score\n"
        "a,3,1,stand,0.000,2.000,0.6500\n"
        "a,5,4,carry/hold (an object),0.000,1.000,0.9000\n"
    )
    before = path.read_bytes()
    assert write_spans(predicted(), path, SpanRules()) == f"{path}: written: 0 spans of 0 tracks"
    assert path.read_bytes() != before
    path.write_text("my own\n")
    with pytest.raises(InputError, match="is there and not what this command writes"):
        write_spans(found, path, SpanRules())
    assert path.read_text() == "my own\n"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep": 1.1}, "--keep is 1.1 and --start 1, expected 0 < keep <= start"),
        ({"keep": 0.0}, "--keep is 0 and --start 1, expected 0 < keep <= start"),
        ({"min_seconds": -1.0}, "--min-seconds is -1, expected seconds, 0 or more"),
        ({"bridge_seconds": float("inf")}, "--bridge-seconds is inf, expected seconds, 0 or more"),
    ],
)
def test_rules_out_of_range_are_refused(rules: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        SpanRules(**rules)
    assert str(error.value) == message

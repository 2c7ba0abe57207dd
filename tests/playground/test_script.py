"""Properties of the playground's scripts: what each label promises, balance, independence of the number of films."""

import functools
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.playground.actions import CLASSES, DANCE_ID, JUMP_IDS, MOTION_ID, POINT_IDS, SIGNALS, WAVE_IDS
from pipeline.playground.chance import deal, stream
from pipeline.playground.script import Script, Split, write_script
from pipeline.playground.timeline import (
    BALL_DISTANCE,
    PARTNER_DISTANCE,
    SHORT_SECONDS,
    SIGNAL_SECONDS,
    WALK_REACH,
)

WINDOW_SECONDS = 14  # to either side
NAME = {each.id: each.name for each in CLASSES}


@functools.cache
def script(seed: int, split: Split, index: int, shortest: int, longest: int, width: float = 160.0) -> Script:
    return write_script(seed, split, index, min_seconds=shortest, max_seconds=longest, world_width=width)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    shortest = draw(st.integers(20, 100))
    return script(
        draw(st.integers(0, 10**6)),
        draw(st.sampled_from(["train", "val"])),
        draw(st.integers(0, 5)),
        shortest,
        shortest + draw(st.integers(0, 30)),
        draw(st.sampled_from([160.0, 120 * 16 / 9, 288.0])),
    )


def rows(film: Script) -> list[tuple[int, int, int]]:
    """(second, figure, action id) of every annotated label."""
    return [
        (second, figure, action)
        for second in range(film.seconds)
        for figure, actions in film.labels(second)
        for action in actions
    ]


def motions_at(film: Script, second: int) -> dict[int, str]:
    return {
        number: action.event.motion
        for number, figure in enumerate(film.figures)
        for action in figure.actions
        if action.event.start <= second < action.event.start + action.event.seconds
    }


def starts(film: Script, motion: str) -> list[tuple[int, int]]:
    return [
        (action.event.start, number)
        for number, figure in enumerate(film.figures)
        for action in figure.actions
        if action.event.motion == motion
    ]


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_every_dance_sees_exactly_one_signal_in_its_window(film: Script) -> None:
    signal_of = {start + shift: signal for start, signal in film.signals for shift in range(SIGNAL_SECONDS)}
    for second, figure, action in rows(film):
        if action in DANCE_ID.values():
            around = [
                signal_of[each]
                for each in range(second - WINDOW_SECONDS, second + WINDOW_SECONDS + 1)
                if each in signal_of
            ]
            assert len(around) == SIGNAL_SECONDS
            assert {DANCE_ID[each] for each in around} == {action}
            before = [second + 0.5 - each for each in signal_of if 0 < second - each <= WINDOW_SECONDS]
            # From the signal's last instant to the dance, and from its first.
            assert min(before) - 1 >= 5
            assert max(before) <= 15
            assert figure != film.conductor
            assert motions_at(film, second)[figure] == "dance"


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_only_the_conductor_gives_signals_and_each_is_labelled(film: Script) -> None:
    given_signals = {(start, number) for signal in SIGNALS for start, number in starts(film, signal)}
    assert given_signals == {(start, film.conductor) for start, _ in film.signals}
    assert {action for _, figure, action in rows(film) if figure == film.conductor}.isdisjoint(DANCE_ID.values())
    labelled = Counter(action for _, _, action in rows(film))
    for signal in SIGNALS:
        count = sum(each == signal for _, each in film.signals)
        assert labelled[MOTION_ID[signal]] == SIGNAL_SECONDS * count
        assert labelled[DANCE_ID[signal]] == 8 * count


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_a_wave_is_to_a_distant_bow_or_to_nobody(film: Script) -> None:
    for second, figure, action in rows(film):
        if action in WAVE_IDS:
            motions = motions_at(film, second)
            bowing = [number for number, motion in motions.items() if motion == "bow"]
            assert [number for number, motion in motions.items() if motion == "wave"] == [figure]
            assert len(bowing) == (1 if action == WAVE_IDS[0] else 0)
            for partner in bowing:
                apart = abs(film.figures[figure].lane_x - film.figures[partner].lane_x)
                assert apart >= PARTNER_DISTANCE


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_pointing_is_at_a_distant_ball_or_at_nothing(film: Script) -> None:
    balls = {each.start + shift: each for each in film.sky if each.kind == "ball" for shift in range(each.seconds)}
    pointing = [(second, figure, action) for second, figure, action in rows(film) if action in POINT_IDS]
    for second, figure, action in pointing:
        assert (second in balls) == (action == POINT_IDS[0])
        if second in balls:
            assert abs(balls[second].x - film.figures[figure].lane_x) >= BALL_DISTANCE
    if film.seconds >= 40:  # and a ball alone means nothing
        assert set(balls) - {second for second, _, _ in pointing}


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_a_jump_has_its_crouch_on_one_side_and_no_other_near(film: Script) -> None:
    crouches = {start + shift: number for start, number in starts(film, "crouch") for shift in range(SHORT_SECONDS)}
    for start, figure in starts(film, "jump"):
        labels = {action for second, number, action in rows(film) if (second, number) == (start, figure)}
        side = -1 if JUMP_IDS[0] in labels else 1
        assert labels == {MOTION_ID["jump"], JUMP_IDS[0] if side < 0 else JUMP_IDS[1]}
        near = {each: number for each, number in crouches.items() if -6 <= each - start <= 7}
        assert near == {start + 5 * side: figure, start + 5 * side + 1: figure}


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_figures_do_one_thing_at_a_time_without_gaps_and_stay_in_their_lanes(film: Script) -> None:
    for figure in film.figures:
        now, x = 0, figure.actions[0].x_from
        for action in figure.actions:
            assert action.event.start == now
            assert action.x_from == x
            assert action.event.motion == "walk" or action.x_to == action.x_from
            assert abs(action.x_to - figure.lane_x) <= WALK_REACH
            if action.event.motion == "walk":
                assert action.facing * (action.x_to - action.x_from) > 2
            now, x = now + action.event.seconds, action.x_to
        assert now == film.seconds
    lanes = sorted(figure.lane_x for figure in film.figures)
    assert len(lanes) in (3, 4)
    assert min(b - a for a, b in itertools.pairwise(lanes)) >= 40


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_empty_and_excluded_seconds_hide_nothing_that_is_balanced(film: Script) -> None:
    assert film.empty
    assert film.excluded
    for second in (*film.empty, *film.excluded):
        assert film.labels(second) == []
        assert set(motions_at(film, second).values()) <= {"stand", "walk"}


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_pairs_are_balanced_within_every_film(film: Script) -> None:
    count = Counter(action for _, _, action in rows(film))
    for first, second in (WAVE_IDS, POINT_IDS):
        assert count[first] == count[second] > 0
    if count[JUMP_IDS[0]] + count[JUMP_IDS[1]] > SHORT_SECONDS:  # more than a single jump
        assert count[JUMP_IDS[0]] == count[JUMP_IDS[1]]


@pytest.mark.parametrize("seed", [0, 1, 2026])
@pytest.mark.parametrize(("split", "films"), [("train", 12), ("val", 4)])
def test_the_default_data_set_is_balanced_exactly(seed: int, split: Split, films: int) -> None:
    counts = [Counter(action for _, _, action in rows(script(seed, split, each, 75, 90))) for each in range(films)]
    for each in counts:
        assert len({each[DANCE_ID[signal]] for signal in SIGNALS}) == 1
    total = sum(counts, Counter())
    assert set(total) == set(NAME)
    assert total[DANCE_ID["raise"]] == 8 * films
    assert total[JUMP_IDS[0]] == total[JUMP_IDS[1]]


def test_short_films_take_the_signals_in_turn() -> None:
    given_signals = [script(7, "train", index, 20, 20).signals[0][1] for index in range(6)]
    assert set(given_signals[:3]) == set(given_signals[3:]) == set(SIGNALS)


def test_frame_rates_differ_within_four_films() -> None:
    assert {script(3, "val", index, 20, 30).fps for index in range(4)} == {15, 24, 25, 30}


def test_a_script_is_a_function_of_its_key() -> None:
    again = write_script(5, "train", 2, min_seconds=30, max_seconds=60, world_width=160.0)
    assert again == script(5, "train", 2, 30, 60)
    others = [script(6, "train", 2, 30, 60), script(5, "val", 2, 30, 60), script(5, "train", 3, 30, 60)]
    assert all(other.figures != again.figures for other in others)


def test_streams_and_decks() -> None:
    assert stream(1, "a").integers(10**9) == stream(1, "a").integers(10**9) != stream(1, "b").integers(10**9)
    dealt = [deal("xyz", position, 4, "deck") for position in range(30)]
    assert all(sorted(dealt[each : each + 3]) == ["x", "y", "z"] for each in range(0, 30, 3))
    assert len({tuple(dealt[each : each + 3]) for each in range(0, 30, 3)}) > 1


def test_label_ids_are_consecutive_and_grouped() -> None:
    assert [each.id for each in CLASSES] == list(range(1, 21))
    assert Counter(each.group for each in CLASSES) == {"momentary": 11, "relational": 4, "long-term": 3, "order": 2}
    assert [NAME[each] for each in DANCE_ID.values()] == [
        "dance after raised arms",
        "dance after spread arms",
        "dance after hands on head",
    ]
    assert NAME[MOTION_ID["hands_on_head"]] == "put hands on head"
    assert (NAME[JUMP_IDS[0]], NAME[JUMP_IDS[1]]) == ("jump after a crouch", "jump before a crouch")

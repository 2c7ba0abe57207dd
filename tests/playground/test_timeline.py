import itertools

from hypothesis import given, settings

from pipeline.playground.actions import DANCE_ID, JUMP_IDS, MOTION_ID, POINT_IDS, WAVE_IDS
from pipeline.playground.script import Script
from pipeline.playground.timeline import (
    BALL_DISTANCE,
    PARTNER_DISTANCE,
    SHORT_SECONDS,
    SIGNAL_SECONDS,
    WALK_REACH,
)
from tests.playground.test_script import WINDOW_SECONDS, motions_at, rows, scripts, starts


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

"""Properties of the playground's scripts: what each label promises, balance, independence of the number of films."""

import functools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.playground.actions import CLASSES, DANCE_ID, JUMP_IDS, MOTION_ID, POINT_IDS, SIGNALS, WAVE_IDS
from pipeline.playground.script import Script, Split, write_script
from pipeline.playground.timeline import (
    SHORT_SECONDS,
    SIGNAL_SECONDS,
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

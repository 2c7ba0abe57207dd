from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.video.grid import EVERY_FRAME, frame_count, grid_length, shown_frames


def shown_by(times: list[float], length: int, fps: float) -> list[int]:
    """Number of the frame that each grid index shows."""
    rows = [(first, frame) for first, _, frame in shown_frames(zip(times, range(len(times)), strict=True), fps)]
    firsts = [first for first, _ in rows]
    assert firsts[0] == 0
    assert all(a < b for a, b in pairwise(firsts))
    return [max((first, frame) for first, frame in rows if first <= index)[1] for index in range(length)]


def nearest(times: list[Fraction], length: int, fps: Fraction) -> list[int]:
    return [min(range(len(times)), key=lambda k: (abs(times[k] - index / fps), k)) for index in range(length)]


@given(
    ticks=st.lists(st.integers(1, 400), min_size=0, max_size=60),
    clock=st.sampled_from([1000, 12800, 90000, 30000, 15360, 1_000_000]),
    first=st.integers(0, 200),
    fps=st.sampled_from(["30", "15", "25", "29.97", "23.976", "7.5", "1", "60"]),
)
@example(ticks=[1] * 20, clock=30, first=0, fps="20")
@example(ticks=[1] * 20, clock=15, first=0, fps="30")
def test_each_grid_frame_shows_the_nearest_frame(ticks: list[int], clock: int, first: int, fps: str) -> None:
    scale = 1 if clock < 100 else max(1, clock // 1000)
    exact = [Fraction(first, clock)]
    for tick in ticks:
        exact.append(exact[-1] + Fraction(tick * scale, clock))
    length = grid_length(float(exact[-1]) + 0.04, float(fps))
    assert shown_by([float(time) for time in exact], length, float(fps)) == nearest(exact, length, Fraction(fps))


def test_of_two_equally_near_frames_the_earlier_is_shown() -> None:
    times = [k / 30 for k in range(9)]
    assert shown_by(times, 6, 20) == [0, 1, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("source", "grid", "first"), [(30, 15, [0, 2, 4, 6]), (15, 30, [0, 0, 1, 1]), (25, 25, [0, 1, 2, 3])]
)
def test_constant_rates(source: int, grid: int, first: list[int]) -> None:
    assert shown_by([k / source for k in range(40)], 30, grid)[:4] == first


@pytest.mark.parametrize(
    ("duration", "fps", "length"),
    [(2.4, 15, 36), (0.001, 30, 1), (1.05, 30, 32), (1.0499, 30, 31), (900, 29.97, 26973)],
)
def test_the_length_is_rounded_half_up(duration: float, fps: float, length: int) -> None:
    assert grid_length(duration, fps) == length


def test_frames_are_let_go_of_one_by_one() -> None:
    taken = 0

    def frames() -> Iterator[tuple[float, int]]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number / 25, number

    shown = shown_frames(frames(), 25)
    assert [next(shown)[2] for _ in range(10)] == list(range(10))
    assert taken == 11


def test_without_a_rate_every_frame_is_one_of_the_grid() -> None:
    times = [0.0, 0.1, 5.0, 5.001]
    assert [(index, time) for index, time, _ in shown_frames(((each, "x") for each in times), EVERY_FRAME)] == list(
        enumerate(times)
    )
    assert (frame_count(5.1, EVERY_FRAME, decoded=4), frame_count(5.1, 10, decoded=4)) == (4, 51)

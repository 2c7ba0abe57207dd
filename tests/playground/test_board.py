import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.playground.actions import DANCE_ID, MOTION_ID
from pipeline.playground.board import Board, Event
from pipeline.playground.chance import stream


def test_a_figure_is_busy_while_it_does_something_and_behind_the_end() -> None:
    board = Board(2, 10)
    board.place(0, 3, 2, "dance", DANCE_ID["raise"])
    assert [board.free(0, start, 2) for start in range(-1, 10)] == [
        False, True, True, False, False, False, True, True, True, True, False
    ]  # fmt: skip
    assert board.free(1, 0, 10)
    assert board.events == [[Event(3, 2, "dance", (MOTION_ID["dance"], DANCE_ID["raise"]))], []]


@given(
    busy=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 28)), max_size=12),
    seconds=st.integers(1, 3),
    count=st.integers(0, 8),
    seed=st.integers(0, 9),
)
def test_places_that_are_drawn_are_free_and_apart(
    busy: list[tuple[int, int]], seconds: int, count: int, seed: int
) -> None:
    board = Board(3, 30)
    for figure, start in busy:
        board.place(figure, start, 2, "wave")
    groups = [(0, 1), (1, 2)]
    taken = np.zeros(30, bool)
    taken[20:25] = True
    before = board.busy.copy()
    slots = board.draw_slots(stream(seed), groups=groups, seconds=seconds, count=count, taken=taken)
    assert (board.busy == before).all()
    assert len(slots) <= count
    for start, group in slots:
        assert group in groups
        assert all(board.free(figure, start, seconds) for figure in group)
    covered = [second for start, _ in slots for second in range(start, start + seconds)]
    assert len(set(covered)) == len(covered)
    assert np.flatnonzero(taken).tolist() == sorted([*covered, *range(20, 25)])
    if len(slots) < count:  # there is no room for one more
        assert not board.draw_slots(stream(seed), groups=groups, seconds=seconds, count=1, taken=taken)

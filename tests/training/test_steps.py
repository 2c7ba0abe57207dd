"""Parts of optimiser steps, dealt to the ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.training import steps
from pipeline.training.steps import Step, Stretch, check_ranks, count_steps, deal_parts, epochs_of_passes, stretches_of


@pytest.fixture
def second_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@given(count=st.integers(0, 40), parts=st.integers(1, 5), bn_batch=st.integers(1, 4), ranks=st.integers(1, 4))
def test_every_keyframe_is_seen_once_whatever_the_number_of_ranks(
    count: int, parts: int, bn_batch: int, ranks: int
) -> None:
    order = np.random.default_rng(count).permutation(count)
    global_batch = parts * bn_batch
    dealt = []
    for rank in range(ranks):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(steps, "share", lambda items, rank=rank: items[rank::ranks])
            dealt.append(list(deal_parts(order, global_batch=global_batch, bn_batch=bn_batch)))
    assert {len(each) for each in dealt} == {-(-count // global_batch)}, "as many steps on every rank"
    for number, several in enumerate(zip(*dealt, strict=True)):
        step = order[number * global_batch :][:global_batch]
        assert {total for _, total in several} == {sum(len(mine) for mine, _ in several)} == {-(-len(step) // bn_batch)}
        seen = [place for mine, _ in several for part in mine for place in part.tolist()]
        assert sorted(seen) == sorted(step.tolist())


def test_parts_are_dealt_in_turn_and_the_last_step_takes_what_is_left(second_of_four: None) -> None:
    dealt = [
        ([part.tolist() for part in mine], count)
        for mine, count in deal_parts(np.arange(21), global_batch=16, bn_batch=2)
    ]
    assert dealt == [([[2, 3], [10, 11]], 8), ([[18, 19]], 3)]
    assert [mine for mine, _ in deal_parts(np.arange(1), global_batch=16, bn_batch=2)] == [[]]


def test_ranks_that_cannot_share_a_step_are_refused(second_of_four: None) -> None:
    check_ranks(global_batch=16, bn_batch=2, block="baseline")
    with pytest.raises(InputError) as error:
        check_ranks(global_batch=12, bn_batch=2, block="baseline")
    assert str(error.value) == (
        "baseline.global_batch 12 in parts of baseline.bn_batch 2: 6 to a step, which 4 processes cannot share evenly; "
        "expected a number of processes that divides 6"
    )


SIZES = st.lists(st.integers(0, 3), max_size=30)


@given(sizes=SIZES, parts=st.integers(1, 4), bn_batch=st.integers(1, 4))
def test_parts_of_one_size_hold_every_keyframe_once(sizes: list[int], parts: int, bn_batch: int) -> None:
    order = np.random.default_rng(len(sizes)).permutation(len(sizes))
    of = np.array(sizes, np.int64)
    batches = {"global_batch": parts * bn_batch, "bn_batch": bn_batch}
    dealt = list(deal_parts(order, **batches, sizes=of))
    assert len(dealt) == count_steps(len(sizes), **batches, sizes=of)
    seen = [part for mine, _ in dealt for part in mine]
    assert sorted(place for part in seen for place in part.tolist()) == sorted(order.tolist())
    assert all(len(set(of[part].tolist())) == 1 and len(part) <= bn_batch for part in seen)
    short = [of[part[0]] for part in seen if len(part) < bn_batch]
    assert len(short) == len(set(short)), "one short part of a size"
    assert all(len(mine) == count == parts for mine, count in dealt[:-1])
    plain = deal_parts(order, global_batch=parts * bn_batch, bn_batch=bn_batch)
    assert count_steps(len(sizes), global_batch=parts * bn_batch, bn_batch=bn_batch) == len(list(plain))


@given(count=st.integers(0, 20), parts=st.integers(1, 3), bn_batch=st.integers(1, 3))
def test_with_one_size_nothing_changes(count: int, parts: int, bn_batch: int) -> None:
    order = np.random.default_rng(count).permutation(count)
    batches = {"global_batch": parts * bn_batch, "bn_batch": bn_batch}
    plain, sized = (
        [([part.tolist() for part in mine], number) for mine, number in deal_parts(order, **batches, sizes=sizes)]
        for sizes in (None, np.zeros(count, np.int64))
    )
    assert plain == sized


def test_a_part_follows_as_it_becomes_full() -> None:
    order, sizes = np.array([4, 0, 3, 1, 2, 5]), np.array([0, 1, 0, 1, 0, 2])
    dealt = [[part.tolist() for part in mine] for mine, _ in deal_parts(order, global_batch=4, bn_batch=2, sizes=sizes)]
    # 4 waits for 0, and 3 for 1; 2 and 5 stay alone.
    assert dealt == [[[4, 0], [3, 1]], [[2], [5]]]


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, [Stretch(0, 0, 3), Stretch(1, 0, 2)]),
        (1, [Stretch(1, 2, 3), Stretch(2, 0, 3), Stretch(3, 0, 1)]),
        (2, [Stretch(3, 1, 3), Stretch(4, 0, 3)]),
    ],
)
def test_passes_follow_each_other_across_epochs(epoch: int, expected: list[Stretch]) -> None:
    assert list(stretches_of(epoch, per_pass=3, per_epoch=5)) == expected


def test_an_epoch_has_the_steps_that_it_is_told() -> None:
    def steps_of(stretch: Stretch) -> list[Step]:
        return [Step([], number + 10 * stretch.number) for number in range(stretch.first, stretch.last)]

    of_epoch, count = epochs_of_passes(steps_of, per_pass=3, per_epoch=4)
    assert count == 4
    assert [[step.count for step in of_epoch(epoch)] for epoch in range(2)] == [[0, 1, 2, 10], [11, 12, 20, 21]]
    of_epoch, count = epochs_of_passes(steps_of, per_pass=3, per_epoch="pass")
    assert (count, [step.count for step in of_epoch(2)]) == (3, [20, 21, 22])
    assert epochs_of_passes(steps_of, per_pass=0, per_epoch=4)[1] == 0

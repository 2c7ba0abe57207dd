"""Parts of optimiser steps, dealt to the ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.training import steps
from pipeline.training.steps import check_ranks, deal_parts


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

from itertools import combinations

import pytest
import torch

from pipeline.models.relations import all_relations, count_relations, drawn_relations, fixed_relations, relation_at

SCALES = (8, 7, 6, 5, 4, 3, 2)
FIXED_PAIRS = [(1, 5), (4, 6), (5, 7)]


@pytest.mark.parametrize("scale", SCALES)
def test_relations_are_numbered_as_combinations(scale: int) -> None:
    known = list(combinations(range(8), scale))
    assert count_relations(8, scale) == len(known)
    assert [relation_at(8, scale, number) for number in range(len(known))] == known
    assert all_relations(8, SCALES)[8 - scale] == known


def test_fixed_relations_are_those_of_the_seed_whatever_else_is_drawn() -> None:
    torch.manual_seed(1)
    first = fixed_relations(8, SCALES, 3, 0)
    torch.manual_seed(2)
    assert fixed_relations(8, SCALES, 3, 0) == first
    assert fixed_relations(8, (4,), 3, 0) == [first[4]]
    assert fixed_relations(8, SCALES, 3, 1) != first
    # They are part of every trained model: these must never change.
    assert first[6] == FIXED_PAIRS
    assert [len(each) for each in first] == [1, 3, 3, 3, 3, 3, 3]
    assert all(len(set(each)) == len(each) for each in first)


def test_drawn_relations_follow_torchs_generator_and_are_all_alike() -> None:
    torch.manual_seed(3)
    first, second = drawn_relations(8, SCALES, 3), drawn_relations(8, SCALES, 3)
    assert first != second
    torch.manual_seed(3)
    assert drawn_relations(8, SCALES, 3) == first
    counts: dict[tuple[int, ...], int] = dict.fromkeys(combinations(range(4), 2), 0)
    for _ in range(400):
        for relation in drawn_relations(4, (2,), 3)[0]:
            counts[relation] += 1
    assert all(160 <= count <= 240 for count in counts.values())  # 200 of each, within four deviations


def test_a_scale_with_no_more_relations_than_are_wanted_has_all_and_draws_nothing() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert drawn_relations(3, (3, 2), 3) == [[(0, 1, 2)], [(0, 1), (0, 2), (1, 2)]]
    assert torch.equal(torch.get_rng_state(), before)


def test_many_segments_are_drawn_from_without_listing_their_relations() -> None:
    assert [len(each) for each in fixed_relations(64, (32,), 3, 0)[0]] == [32, 32, 32]

import math

import pytest
import torch

from pipeline.models.heads.attend import Projected
from pipeline.models.heads.interaction import InteractionBlock, Mixture, seat_persons


def test_places_of_persons_are_in_their_order_and_empty_ones_hold_zeros() -> None:
    clips = torch.tensor([1, 0, 1, 1])
    seats = seat_persons(clips, 3, 4, draw=True)
    rows = torch.arange(1.0, 5)[:, None]
    assert seats.group(rows)[..., 0].tolist() == [[2, 0, 0, 0], [1, 3, 4, 0], [0, 0, 0, 0]]
    assert seats.taken_BK.tolist() == [[True, False, False, False], [True, True, True, False], [False] * 4]
    assert seat_persons(clips, 3, 4, draw=False, fit=True).group(rows).shape == (3, 3, 1)
    assert seat_persons(torch.zeros(0, dtype=torch.long), 0, 4, draw=False).group(torch.zeros(0, 2)).shape == (0, 4, 2)


def test_of_too_many_persons_evaluation_takes_the_first_and_training_draws() -> None:
    clips = torch.tensor([0] * 6 + [1])
    rows = torch.arange(7.0)[:, None]
    first = seat_persons(clips, 2, 3, draw=False).group(rows)[..., 0]
    assert first.tolist() == [[0, 1, 2], [6, 0, 0]]

    def drawn(seed: int) -> list[float]:
        torch.manual_seed(seed)
        found = seat_persons(clips, 2, 3, draw=True).group(rows)[..., 0]
        assert found[1].tolist() == [6, 0, 0]
        return sorted(found[0].tolist())

    assert drawn(3) == drawn(3)
    subsets = [drawn(seed) for seed in range(60)]
    assert all(len(set(each)) == 3 for each in subsets)
    assert {person for each in subsets for person in each} == set(range(6))


def test_nothing_is_drawn_where_all_have_a_place() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    seat_persons(torch.tensor([0, 0, 1]), 2, 2, draw=True)
    assert torch.equal(before, torch.get_rng_state())


def test_places_of_a_second_share_its_code_and_seconds_differ() -> None:
    block = InteractionBlock(4, 4, seconds=3, dropout=0.0).eval()
    rows, query = torch.randn(1, 6, 4), torch.randn(2, 4)
    seen = Projected(rows, None, torch.tensor([0, 0]))
    swapped = Projected(rows[:, [1, 0, 2, 3, 4, 5]], None, seen.owner)
    moved = Projected(rows[:, [2, 3, 0, 1, 4, 5]], None, seen.owner)
    with torch.no_grad():
        plain = block(query, seen)
        assert torch.allclose(block(query, moved), plain, atol=1e-6)  # at first codes are zeros
        for position in (block.position_k, block.position_v):
            assert position is not None
            assert position.shape == (3, 1, 4)
            position.copy_(torch.randn(3, 1, 4))
        coded = block(query, seen)
        assert not torch.allclose(coded, plain, atol=1e-3)
        assert torch.allclose(block(query, swapped), coded, atol=1e-6)
        assert not torch.allclose(block(query, moved), coded, atol=1e-3)


@pytest.mark.parametrize("outputs", [4, 6])
def test_a_person_without_any_valid_row_gets_its_shortcut_alone_and_gradients_are_finite(outputs: int) -> None:
    block = InteractionBlock(4, outputs, seconds=0, dropout=0.0)
    query = torch.randn(2, 4, requires_grad=True)
    valid = torch.tensor([[False, False, False], [True, False, False]])
    found = block(query, Projected(torch.randn(2, 3, 4), valid, torch.tensor([0, 1])))
    shortcut = query if block.shortcut is None else block.shortcut(query)
    assert (block.shortcut is None) == (outputs == 4)
    assert torch.equal(found[0], shortcut[0])
    assert not torch.allclose(found[1], shortcut[1])
    found.sum().backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in (query, *block.parameters()))


def test_a_mixture_begins_with_nearly_all_of_the_last_and_shares_add_up_to_1() -> None:
    mixture = Mixture(3, 2)
    assert mixture.shares.shape == (3, 2)
    assert mixture.shares[0, 0].item() == pytest.approx(-5 * math.log(10))
    earlier = [torch.full((1, 2), value) for value in (1.0, 10.0, 100.0)]
    assert mixture(earlier)[0, 0].item() == pytest.approx((11e-5 + 100) / (1 + 2e-5))
    with torch.no_grad():
        mixture.shares.zero_()
    assert mixture(earlier)[0].tolist() == pytest.approx([37, 37])

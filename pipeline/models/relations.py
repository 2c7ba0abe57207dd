"""Relations of a clip: increasing tuples of segments, numbered in lexicographic order as `itertools.combinations`."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from math import comb
from typing import SupportsInt

import torch
from torch import Tensor

from pipeline.base.randomness import rng_of

Relations = Sequence[Sequence[tuple[int, ...]]]
"For each scale the relations, each the segments, counted from 0, that it reads."


def count_relations(segments: int, scale: int) -> int:
    """Count the relations of `scale` segments out of `segments`."""
    return comb(segments, scale)


def relation_at(segments: int, scale: int, number: int) -> tuple[int, ...]:
    """Return the relation with a number, from 0, without making those before it."""
    found: list[int] = []
    for segment in range(segments):
        left = scale - len(found)
        with_it = comb(segments - segment - 1, left - 1) if left else 0
        if number < with_it:
            found.append(segment)
        else:
            number -= with_it
    return tuple(found)


@cache
def all_relations(segments: int, scales: tuple[int, ...]) -> Relations:
    """Return every relation of each scale, in order of number."""
    return [list(combinations(range(segments), scale)) for scale in scales]


def fixed_relations(segments: int, scales: Sequence[int], per_scale: int, seed: int) -> Relations:
    """Return the relations that a seed draws for each scale; a scale's do not depend on the other scales."""
    draws = (rng_of(seed, "relations", segments, scale).integers for scale in scales)
    return [_drawn(segments, scale, per_scale, draw) for scale, draw in zip(scales, draws, strict=True)]


def drawn_relations(segments: int, scales: Sequence[int], per_scale: int) -> Relations:
    """Return relations that torch's global generator draws for each scale."""

    def draw(total: int) -> Tensor:
        return torch.randint(total, (), device="cpu")

    return [_drawn(segments, scale, per_scale, draw) for scale in scales]


def _drawn(segments: int, scale: int, count: int, draw: Callable[[int], SupportsInt]) -> list[tuple[int, ...]]:
    """Draw `count` different relations, all alike; if there are no more, all of them, without a draw."""
    total = count_relations(segments, scale)
    if total <= count:
        return [relation_at(segments, scale, number) for number in range(total)]
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers[int(draw(total))] = None
    return [relation_at(segments, scale, number) for number in numbers]

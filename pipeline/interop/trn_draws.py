"""The relations that MMAction2's TRN draws from numpy's global generator, and inputs drawn by a rule in words."""

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.models.heads.trn import RelationHead
from pipeline.models.relations import Relations, count_relations, relation_at

_RULE = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\(([\d, *]+)\)\)")


def numpy_draws(random: np.random.RandomState, segments: int, scales: Sequence[int], per_scale: int) -> list[list[int]]:
    """Draw numbers of relations as upstream: for each scale below the first, `choice` without replacement."""
    totals = [count_relations(segments, scale) for scale in scales[1:]]
    return [random.choice(total, min(per_scale, total), replace=False).tolist() for total in totals]


def relations_of(numbers: Sequence[Sequence[int]], segments: int, scales: Sequence[int]) -> Relations:
    """Return the relations with these numbers; the first scale has its only one, which needs no number.

    Raises:
        InputError: a number is not one of a relation, or the scales are not as many.
    """
    if len(numbers) != len(scales) - 1:
        raise InputError(f"draws of {len(numbers)} scales, expected {len(scales) - 1}")
    found = [[relation_at(segments, scales[0], 0)]]
    for scale, drawn in zip(scales[1:], numbers, strict=True):
        total = count_relations(segments, scale)
        if not all(type(each) is int and 0 <= each < total for each in drawn):
            raise InputError(f"the relations of {scale} segments drawn are {drawn}, expected numbers below {total}")
        found.append([relation_at(segments, scale, each) for each in drawn])
    return found


def head_draws(head: RelationHead, random: np.random.RandomState) -> Relations:
    """Draw the relations of a head as upstream."""
    numbers = numpy_draws(random, head.segments, head.sizes, head.per_scale)
    return relations_of(numbers, head.segments, head.sizes)


def drawn_input(rule: str) -> Tensor:
    """Draw float32 numbers by a rule such as `RandomState(0).standard_normal((4*3,64,2,2)) float32`.

    Raises:
        InputError: the rule is not known.
    """
    found = _RULE.search(rule)
    sides = found[2].split(",") if found else []
    if found is None or not all(re.fullmatch(r"\s*\d+(\s*\*\s*\d+)*\s*", side) for side in sides):
        raise InputError(f"input is {rule!r}, expected RandomState(N).standard_normal((sides))")
    shape = tuple(math.prod(map(int, side.split("*"))) for side in sides)
    return normal(int(found[1]), shape)


def normal(seed: int, shape: Sequence[int]) -> Tensor:
    """Draw float32 numbers from a standard normal distribution, as numpy's `RandomState` does."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32))

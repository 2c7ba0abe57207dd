"""Draw random values that depend on names alone: the same in every process, whatever else is drawn."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Kind = TypeVar("Kind")


def stream(*key: int | str) -> np.random.Generator:
    """Return a random generator that is a function of `key`, e.g. `(seed, split, index, "looks")`."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def deal(kinds: Sequence[Kind], position: int, *key: int | str) -> Kind:
    """Return the card at `position` of an endless deck: one shuffled set of `kinds` after the other.

    Any part of the deck holds each kind equally often, up to one, so that consecutive draws are balanced by design and
    not by luck.
    """
    deck, place = divmod(position, len(kinds))
    return kinds[int(stream(*key, deck).permutation(len(kinds))[place])]

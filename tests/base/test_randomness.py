import hashlib

import numpy as np
import pytest

from pipeline.base.randomness import rng_of, seed_of


def test_seeds_are_a_hash_of_their_parts() -> None:
    digest = hashlib.sha256(b'[0, "order", 3]').hexdigest()
    assert seed_of(0, "order", 3) == int(digest[:16], 16) >> 1


def test_draws_are_pinned() -> None:
    assert rng_of(0, 3, "video", 902).integers(0, 1000, 4).tolist() == [93, 648, 115, 737]


def test_each_part_counts() -> None:
    parts: list[tuple[int | str | float, ...]] = [
        (0, 1), (1, 0), ("0", 1), (1,), ("01",), (0, 1, ""), (0.5,), ("0,1",),
    ]  # fmt: skip
    seeds = {seed_of(*each) for each in parts}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_number_is_the_same_in_every_type() -> None:
    assert seed_of(902) == seed_of(902.0) == seed_of(np.float64(902)) == seed_of(np.int64(902))  # type: ignore[arg-type]
    assert seed_of(902.25) == seed_of(np.float64(902.25)) != seed_of(902)


def test_generators_are_independent() -> None:
    first, second = rng_of("a"), rng_of("a")
    first.random(10)
    assert second.random() == rng_of("a").random() != first.random()


def test_other_parts_are_refused() -> None:
    with pytest.raises(TypeError, match="a seed is made of strings and numbers, not of NoneType"):
        seed_of(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not JSON compliant"):
        rng_of(float("nan"))

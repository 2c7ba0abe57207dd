import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bank.windows.draws import cell_hashes, drawn_slots, first_slots, person_hashes, splitmix64, text_hash

MASK = 2**64 - 1


def mix(value: int) -> int:
    """SplitMix64 in Python integers."""
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hash_of(*parts: int) -> int:
    result = 0
    for part in parts:
        result = mix(result ^ mix(part & MASK))
    return result


def test_splitmix64_gives_its_published_sequence() -> None:
    """The first outputs of the reference implementation for seed 1234567."""
    states = (np.uint64(1234567) + np.arange(5, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(st.integers(-(2**63), 2**63), st.integers(0, 10**6), st.text(), st.floats(-1e6, 1e6), st.integers(-99, 9999))
def test_a_cell_hash_is_that_of_its_integers(seed: int, epoch: int, video: str, time: float, second: int) -> None:
    found = cell_hashes((seed, epoch), [video], np.array([time]), np.array([[second]]))
    bits = int(np.array([time + 0.0]).view(np.uint64)[0])
    assert int(found[0, 0]) == hash_of(seed, epoch, text_hash(video), bits, second)


@given(st.lists(st.integers(0, 4), max_size=4))
def test_a_persons_number_is_the_last_part_of_its_hash(persons: list[int]) -> None:
    times, seconds = np.arange(len(persons), dtype=np.float64) + 902, np.arange(3 * len(persons)).reshape(-1, 3)
    videos = [f"v{number}" for number in range(len(persons))]
    found = person_hashes(cell_hashes((1, 2), videos, times, seconds), np.array(persons, np.int64))
    bits = times.view(np.uint64).tolist()
    assert found.tolist() == [
        [hash_of(1, 2, text_hash(videos[place]), bits[place], second, person) for second in seconds[place].tolist()]
        for place, count in enumerate(persons)
        for person in range(count)
    ]


def test_every_part_of_a_cell_hash_counts() -> None:
    def one(seed: int = 0, epoch: int = 0, video: str = "v", time: float = 0.0, second: int = 0) -> int:
        return int(cell_hashes((seed, epoch), [video], np.array([time]), np.array([[second]]))[0, 0])

    assert len({one(), one(seed=1), one(epoch=1), one(video="w"), one(time=1.0), one(second=1)}) == 6
    assert one(time=-0.0) == one(time=0.0)


def test_hashes_are_the_same_in_another_process() -> None:
    code = (
        "import numpy as np; from pipeline.bank.windows.draws import cell_hashes as h;"
        "print(h((3, 4), ['v', 'w'], np.array([902.0, 7.5]), np.array([[900, 901], [1, 2]])).tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    here = cell_hashes((3, 4), ["v", "w"], np.array([902.0, 7.5]), np.array([[900, 901], [1, 2]]))
    assert run.stdout.strip() == str(here.tolist())


def test_the_first_slots_are_taken_in_order() -> None:
    starts, counts = np.array([[1, 4], [9, 9]]), np.array([[3, 5], [1, 0]])
    assert first_slots(starts, counts, 3).tolist() == [[[1, 2, 3], [4, 5, 6]], [[9, 0, 0], [0, 0, 0]]]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.integers(1, 6), st.integers(0, 2**64 - 1))
def test_draws_are_k_of_n_by_the_smallest_keys(counts: list[int], per_second: int, seed: int) -> None:
    n = np.array(counts)
    starts = 1 + np.cumsum(n) - n
    hashes = splitmix64(np.arange(len(n), dtype=np.uint64) + np.array([seed], np.uint64))
    found = drawn_slots(starts, n, per_second, hashes)
    for start, count, value, slots in zip(starts.tolist(), counts, hashes.tolist(), found.tolist(), strict=True):
        keys = {row: mix((value + row) & MASK) for row in range(count)}
        chosen = sorted(sorted(keys, key=keys.__getitem__)[:per_second])
        assert slots == [start + row for row in chosen] + [0] * (per_second - len(chosen))


def test_every_row_is_drawn_equally_often() -> None:
    n, k, draws = 7, 3, 20000
    hashes = cell_hashes((0, 0), [f"v{i}" for i in range(draws)], np.zeros(draws), np.zeros((draws, 1), np.int64))
    slots = drawn_slots(np.ones((draws, 1), np.int64), np.full((draws, 1), n), k, hashes)
    share = np.bincount(slots.ravel(), minlength=n + 1)[1:] / draws
    pairs = {(i, j): ((slots == i).any(-1) & (slots == j).any(-1)).mean() for i in range(1, 8) for j in range(1, i)}
    deviation = np.sqrt(k / n * (1 - k / n) / draws)
    assert share == pytest.approx(k / n, abs=5 * deviation)
    assert list(pairs.values()) == pytest.approx([k * (k - 1) / (n * (n - 1))] * len(pairs), abs=5 * deviation)

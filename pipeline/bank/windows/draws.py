"""Choose the rows of a second that fill a window's slots.

Every draw is a function of integers alone (a counter-based hash: SplitMix64 by Steele, Lea and Flood 2014). So it
depends neither on batch, worker or rank, nor on the random stream of a library.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.bank.feature_rows import IntArray

UintArray = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(values: UintArray) -> UintArray:
    """Apply the SplitMix64 output function, a bijection of 64-bit integers, to each element of an array."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def combine(parts: Iterable[UintArray]) -> UintArray:
    """Hash a sequence of integers, elementwise: h = splitmix64(h ^ splitmix64(part)), starting with h = 0."""
    result = np.zeros(1, np.uint64)
    for part in parts:
        result = splitmix64(result ^ splitmix64(part))
    return result


@lru_cache(maxsize=65536)
def text_hash(text: str) -> int:
    """Return the first 8 bytes of the sha256 of the UTF-8 text, little-endian: the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "little")


def cell_hashes(
    draw: tuple[int, int], videos: list[str], timestamps: npt.NDArray[np.float64], seconds: IntArray
) -> UintArray:
    """Hash (seed, epoch, video, keyframe's timestamp, second) for each cell of a batch of windows.

    Args:
        draw: (seed, epoch).
        videos: [B] ids.
        timestamps: [B] of the keyframes; their float64 bits are hashed, -0.0 as 0.0.
        seconds: [B, S].

    Returns:
        [B, S].
    """
    seed, epoch = (np.array([value % 2**64], np.uint64) for value in draw)
    video = np.array([text_hash(video) for video in videos], np.uint64)
    keyframe = (timestamps + 0.0).view(np.uint64)
    return combine([seed, epoch, video[:, None], keyframe[:, None], seconds.view(np.uint64)])


def person_hashes(hashes: UintArray, persons: IntArray) -> UintArray:
    """Extend the hashes of `cell_hashes` by the number of each person within its keyframe.

    Args:
        hashes: [B, S], of the keyframes.
        persons: [B], number of persons of each keyframe.

    Returns:
        [sum of persons, S], keyframe by keyframe.
    """
    number = np.arange(persons.sum()) - np.repeat(np.cumsum(persons) - persons, persons)
    return splitmix64(np.repeat(hashes, persons, axis=0) ^ splitmix64(number.astype(np.uint64))[:, None])


def first_slots(starts: IntArray, counts: IntArray, per_second: int) -> IntArray:
    """Return the first `per_second` of the `counts` consecutive slots from `starts` on; missing ones are 0.

    Args:
        starts: [...], first slot of each second.
        counts: [...], rows of each second.
        per_second: K.

    Returns:
        [..., K].
    """
    rank = np.arange(per_second)
    return np.where(rank < counts[..., None], starts[..., None] + rank, 0)


def drawn_slots(starts: IntArray, counts: IntArray, per_second: int, hashes: UintArray) -> IntArray:
    """Like `first_slots`, but draw K of n without replacement where a second has n > K rows.

    Row j of a second has the key splitmix64(hash + j). The rows with the K smallest keys are taken, and keep their
    own order.

    Args:
        starts: [...], first slot of each second.
        counts: [...], rows of each second.
        per_second: K.
        hashes: [...], of each second (`cell_hashes`).

    Returns:
        [..., K].
    """
    slots = first_slots(starts, counts, per_second)
    crowded = counts > per_second
    if not crowded.any():
        return slots
    n = counts[crowded][:, None]
    row = np.arange(n.max())
    keys = splitmix64(hashes[crowded][:, None] + row.astype(np.uint64))
    # The keys of a second are distinct; positions after its last row get the largest value, which is never chosen.
    keys = np.where(row < n, keys, np.uint64(2**64 - 1))
    largest = np.partition(keys, per_second - 1, axis=1)[:, per_second - 1, None]
    cell, chosen = np.nonzero(keys <= largest)
    slots[crowded] = (starts[crowded][cell] + chosen).reshape(-1, per_second)
    return slots

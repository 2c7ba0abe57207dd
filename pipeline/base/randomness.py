"""Random draws that depend on their purpose alone, never on a process, a worker or the order of calls."""

import hashlib
import json
import numbers

import numpy as np


def _canonical(part: object) -> str | int | float:
    if isinstance(part, str):
        return part
    if isinstance(part, numbers.Integral):
        return int(part)
    if isinstance(part, numbers.Real):
        value = float(part)
        # A timestamp is an integer in one table and a float in another: both must draw the same.
        return int(value) if value.is_integer() else value
    raise TypeError(f"a seed is made of strings and numbers, not of {type(part).__name__}")


def _digest(parts: tuple[object, ...]) -> bytes:
    text = json.dumps([_canonical(part) for part in parts], ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).digest()


def seed_of(*parts: int | str | float) -> int:
    """Return a seed of 63 bits that depends on the parts alone, e.g. `seed_of(seed, "shuffle", epoch)`.

    Raises:
        TypeError: a part is neither a string nor a number.
        ValueError: a part is not finite.
    """
    return int.from_bytes(_digest(parts)[:8], "big") >> 1


def rng_of(*parts: int | str | float) -> np.random.Generator:
    """Return a generator whose draws depend on the parts alone, e.g. `rng_of(seed, epoch, video_id, timestamp)`.

    Raises:
        TypeError: a part is neither a string nor a number.
        ValueError: a part is not finite.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(parts), "big")))

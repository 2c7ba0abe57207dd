"""Which times of a film are scored, and which fill the windows."""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError

Floats = NDArray[np.float64]
ROUNDING = 1e-6
"Steps are sums of floats: 1.2 is the third multiple of 0.4."
SHORTEST = 0.02


def check_step(every: float) -> float:
    """Return the step between scored times, in seconds.

    Raises:
        InputError: it is shorter than a frame of any film.
    """
    if not SHORTEST <= every < float("inf"):
        raise InputError(f"--every {every:g}: expected seconds, at least {SHORTEST:g}")
    return every


def stepped(first: float, last_beyond: float, every: float) -> Floats:
    """Return the times first, first + every, ... below `last_beyond`."""
    count = max(0, int(np.ceil((last_beyond - first) / every - ROUNDING)))
    return np.round(first + every * np.arange(count), 6)


def first_of_each(times: Floats, first: float, every: float) -> Floats:
    """Return the earliest of `times` [n], in seconds, in each span of `every` seconds from `first` on; ascending."""
    times = np.unique(times)
    span = np.floor((times - first) / every + ROUNDING)
    kept: Floats = times[np.unique(span, return_index=True)[1]]
    return kept


def of_windows(times: Floats) -> Floats:
    """Return those of `times` [n] whose rows fill the windows: the earliest of each second of the film's labels."""
    return first_of_each(times, 0.0, 1.0)

"""The number of this process among the processes (ranks) of a stage. Needs no PyTorch, so any module may import it.

`torchrun` sets the number in the environment. A process that `torchrun` did not start is the only rank.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
LAUNCHED = "TORCHELASTIC_RUN_ID"
"Set in the processes that `torchrun` starts, and in those that they start."


def is_rank() -> bool:
    """Return whether `torchrun` started this process."""
    return LAUNCHED in os.environ


def _number(name: str, alone: int) -> int:
    return int(os.environ[name]) if is_rank() else alone


def rank() -> int:
    """Return the number of this process, from 0."""
    return _number("RANK", 0)


def world_size() -> int:
    """Return how many processes work on the stage."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """Return the number of this process among those of its machine; it takes the GPU of this number."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Return how many of the processes run on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_main() -> bool:
    """Return whether this is rank 0, the only one that prints, writes outs and records runs."""
    return rank() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
    """Return this rank's share of `items`: every `world_size`-th from `rank` on; see `distributed.gather`."""
    return items[rank() :: world_size()]

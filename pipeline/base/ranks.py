"""Which of several processes (ranks) of a stage this one is; without PyTorch, so that any module may ask.

`torchrun` says it in the environment. A process that it did not start is the only rank.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def is_rank() -> bool:
    """Whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _number(name: str, alone: int) -> int:
    return int(os.environ[name]) if is_rank() else alone


def rank() -> int:
    """The number of this process, from 0."""
    return _number("RANK", 0)


def world_size() -> int:
    """How many processes work on the stage."""
    return _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process among those of its machine: that of its GPU."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """How many of the processes run on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_main() -> bool:
    """Whether this is rank 0, which alone prints, writes outs and records runs."""
    return rank() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
    """This rank's share of `items`: every `world_size`-th, from `rank` on; see `distributed.gather`."""
    return items[rank() :: world_size()]

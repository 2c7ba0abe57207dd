"""What a stage runs on. Nothing of it changes what is made, so that it enters no key."""

from dataclasses import dataclass

import torch

from pipeline.base.command import worker_count
from pipeline.base.numerics import pick_device


@dataclass(frozen=True)
class Hardware:
    """The device, and how much is done at a time."""

    device: torch.device
    workers: int
    "Threads or processes that read."
    batch: int
    "Keyframes that are read ahead of a network."


def hardware_of(device: str, workers: int, batch: int) -> Hardware:
    """What the options of a stage ask for; see `pick_device` and `worker_count`.

    Raises:
        InputError: there is no such device.
    """
    return Hardware(pick_device(device), worker_count(workers), batch)

"""The hardware of a stage. It does not change what a stage writes, so it is part of no key."""

from dataclasses import dataclass

import torch

from pipeline.base.command import worker_count
from pipeline.base.heap import keep_freed_blocks
from pipeline.base.numerics import pick_device


@dataclass(frozen=True)
class Hardware:
    """The device, and how much work runs at a time."""

    device: torch.device
    workers: int
    "Threads or processes that read data."
    batch: int
    "Keyframes that are read ahead of a network."
    recompute: bool = False
    "Training of a transformer: keep only the inputs of its blocks for the backward pass, which computes them again."


def hardware_of(device: str, workers: int, batch: int, *, recompute: bool = False) -> Hardware:
    """Build the hardware from the options of a stage; see `pick_device` and `worker_count`.

    For a network on a CPU, this process keeps freed blocks from now on (`keep_freed_blocks`).

    Raises:
        InputError: there is no such device.
    """
    chosen = pick_device(device)
    if chosen.type == "cpu":
        keep_freed_blocks()
    return Hardware(chosen, worker_count(workers), batch, recompute)

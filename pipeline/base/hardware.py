"""What a stage runs on. Nothing of it changes what is made, so that it enters no key."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Hardware:
    """The device, and how much is done at a time."""

    device: torch.device
    workers: int
    "Threads or processes that read."
    batch: int
    "Keyframes that are read ahead of a network."

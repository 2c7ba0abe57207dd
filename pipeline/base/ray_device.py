"""The device of a process that may be a worker of Ray."""

import torch

from pipeline.base.numerics import pick_device
from pipeline.base.ray_worker import ray_device


def device_here(device: torch.device) -> torch.device:
    """Return the device that Ray gave this process; `device` itself in a process that is no worker of Ray."""
    given = ray_device()
    return device if given is None else pick_device(given)

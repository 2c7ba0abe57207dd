"""Settings of a training that change how fast it is, and its sums by rounding alone."""

from typing import Literal

import torch
from torch import nn

from pipeline.base.errors import InputError

MemoryFormat = Literal["contiguous", "channels_last_3d"]


def speed_up(model: nn.Module, *, memory_format: MemoryFormat, compile_backbone: bool, device: torch.device) -> None:
    """Prepare the backbone of `model` in place; its state dict keeps its keys. A head without backbone stays as it is.

    Args:
        model: on `device`.
        memory_format: how the convolutions' weights lie in memory, and with them the maps.
        compile_backbone: let PyTorch's compiler make the backbone's code at its first use.
        device: where `model` is.

    Raises:
        InputError: nothing can be compiled here.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return
    if memory_format == "channels_last_3d":
        backbone.to(memory_format=torch.channels_last_3d)
    if compile_backbone:
        _check_compiler(device)
        backbone.compile()


def _check_compiler(device: torch.device) -> None:
    """Compile a sum: a missing compiler is said at once and in one line."""
    try:
        torch.compile(_double)(torch.zeros(8, device=device))
    except Exception as error:  # whatever the compiler's parts raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"compile: PyTorch cannot compile on {device.type} here: {lines[0]}") from None


def _double(values: torch.Tensor) -> torch.Tensor:
    return values + values

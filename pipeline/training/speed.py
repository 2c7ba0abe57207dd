"""Settings of a training that change its speed; they change results only by rounding."""

from typing import Literal

import torch
from torch import nn

from pipeline.base.errors import InputError

MemoryFormat = Literal["contiguous", "channels_last_3d", "channels_last"]


def speed_up(model: nn.Module, *, memory_format: MemoryFormat, compile_backbone: bool, device: torch.device) -> None:
    """Prepare the backbone of `model` in place; its state dict keeps its keys. A head without a backbone is unchanged.

    Args:
        model: on `device`.
        memory_format: memory layout of the convolutions' weights, and so of the feature maps.
        compile_backbone: let PyTorch's compiler compile the backbone at its first use.
        device: device of `model`.

    Raises:
        InputError: PyTorch cannot compile here.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return
    if memory_format != "contiguous":
        backbone.to(memory_format=getattr(torch, memory_format))
    if compile_backbone:
        _check_compiler(device)
        backbone.compile()


def _check_compiler(device: torch.device) -> None:
    """Compile a small function, so that a missing compiler is reported at once, in one line."""
    try:
        torch.compile(_double)(torch.zeros(8, device=device))
    except Exception as error:  # the compiler's parts may raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"compile: PyTorch cannot compile on {device.type} here: {lines[0]}") from None


def _double(values: torch.Tensor) -> torch.Tensor:
    return values + values

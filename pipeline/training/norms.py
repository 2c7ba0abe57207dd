"""Batch norm in training: the clips from which its statistics are computed, and the update of the running statistics.

A step may have many parts, spread over many ranks. Each part starts from the same running statistics, and the new
ones are the mean of the parts' results. So they depend neither on the order of parts nor on the number of ranks.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.base.errors import InputError
from pipeline.base.ranks import world_size

Norm = Literal["batch", "sync", "frozen", "partial"]


def prepare_norm(
    model: nn.Module, norm: Norm, *, global_batch: int, bn_batch: int, device: torch.device, block: str
) -> None:
    """Check that `norm` is possible here, and put synchronised batch norm into `model` if it is needed.

    Args:
        model: before its optimiser is made; its state dict keeps its keys.
        norm: `batch`: statistics of each part by itself, as published. `sync`: statistics of all parts of a step
            together. `frozen`: the backbone keeps the running statistics that it started with, and only scales and
            shifts are trained (MMAction2's `norm_eval`). `partial`: the backbone's first norm is as in `batch`, and
            all others keep their statistics, scales and shifts (`partial_bn` of TSN and TRN).
        global_batch: keyframes of a step.
        bn_batch: keyframes of a part.
        device: device of `model`.
        block: of the parameters, for the message.

    Raises:
        InputError: `sync`, and the parts of a step do not run at the same time.
    """
    if norm != "sync":
        return
    parts = -(-global_batch // bn_batch)
    if parts == 1 and world_size() == 1:
        return  # the part is the whole batch
    if device.type != "cuda" or parts != world_size():
        raise InputError(
            f"{block}.norm sync: a step has {parts} parts ({block}.global_batch {global_batch}, {block}.bn_batch "
            f"{bn_batch}) "
            f"on {world_size()} processes of {device.type}; expected one part on one process, or as many CUDA "
            f"processes as parts"
        )
    nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether `model` has a batch norm, so that in training the other rows of a batch affect a row's result."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def train_mode(model: nn.Module, norm: Norm) -> None:
    """Call `model.train()`, but keep frozen norms in evaluation mode; with `partial` they get no gradient either.

    A backbone of which nothing is trained stays in evaluation mode as a whole.
    """
    model.train()
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, nn.Module) and not any(each.requires_grad for each in backbone.parameters()):
        backbone.eval()
    if norm not in ("frozen", "partial"):
        return
    norms = [each for each in getattr(model, "backbone", model).modules() if isinstance(each, _BatchNorm)]
    for module in norms[norm == "partial" :]:
        module.eval()
        if norm == "partial":
            module.requires_grad_(False)


class RunningStatistics:
    """The running statistics of a model in training mode, averaged over the parts of one step."""

    def __init__(self, model: nn.Module) -> None:
        """Store the statistics that the step starts from."""
        norms = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.training]
        self._values: list[Tensor] = []
        self._counts: list[Tensor] = []
        for norm in norms:
            if norm.running_mean is not None and norm.running_var is not None:
                self._values += [norm.running_mean, norm.running_var]
            if norm.num_batches_tracked is not None:
                self._counts.append(norm.num_batches_tracked)
        self._start = [each.clone() for each in self._values]
        self._start_counts = [each.clone() for each in self._counts]
        self.totals: list[Tensor] = [torch.zeros_like(each) for each in self._values]

    def end_part(self) -> None:
        """Add the statistics after a part to `totals`, and restore those at the start."""
        for value, start, total in zip(self._values, self._start, self.totals, strict=True):
            total += value
            value.copy_(start)

    def end_step(self, totals: list[Tensor], parts: int) -> None:
        """Set the statistics to the mean over the parts.

        Args:
            totals: `totals` summed over all ranks.
            parts: number of parts on all ranks.
        """
        for value, total in zip(self._values, totals, strict=True):
            value.copy_(total / parts)
        for count, start in zip(self._counts, self._start_counts, strict=True):
            count.copy_(start + 1)

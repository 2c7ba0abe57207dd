"""What the ranks of a training tell each other in each step: one sum of everything."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.base.distributed import sum_over_ranks
from pipeline.base.ranks import world_size


def sum_step(
    parameters: Sequence[nn.Parameter], others: Sequence[Tensor], loss: float, device: torch.device
) -> tuple[list[Tensor], float]:
    """Sum gradients and other tensors over all ranks, in one message.

    A parameter that no rank has a gradient of has none afterwards either, so that its optimiser leaves it alone.

    Args:
        parameters: their gradients are replaced by the sums.
        others: float tensors of the same shapes on every rank.
        loss: a further number.
        device: where the parameters are.

    Returns:
        The sums of `others`, and that of `loss`.
    """
    if world_size() == 1:
        return list(others), loss
    present = torch.tensor([each.grad is not None for each in parameters], dtype=torch.float32, device=device)
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    tensors = [*gradients, *others, present, torch.tensor(loss, dtype=torch.float32, device=device)]
    flat = sum_over_ranks(torch.cat([each.reshape(-1) for each in tensors]))
    sizes = [each.numel() for each in tensors]
    sums = [part.view(each.shape) for part, each in zip(torch.split(flat, sizes), tensors, strict=True)]
    known = sums[-2].tolist()
    for parameter, gradient, count in zip(parameters, sums, known, strict=False):
        parameter.grad = gradient if count else None
    return sums[len(gradients) : -2], float(sums[-1])


def divide_gradients(parameters: Sequence[nn.Parameter], parts: int) -> None:
    """Make means over the parts of a step of sums over them."""
    if parts > 1:
        torch._foreach_div_([each.grad for each in parameters if each.grad is not None], parts)

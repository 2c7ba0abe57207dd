"""Sum the gradients of a step over all ranks, with everything else they exchange, in one message."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.base.distributed import sum_over_ranks
from pipeline.base.ranks import world_size


def sum_step(
    parameters: Sequence[nn.Parameter], others: Sequence[Tensor], loss: float, device: torch.device
) -> tuple[list[Tensor], float]:
    """Sum gradients and other tensors over all ranks, in one message.

    A parameter without a gradient on any rank has none afterwards either, so its optimiser does not change it.

    Args:
        parameters: their gradients are replaced by the sums.
        others: float tensors with the same shapes on every rank.
        loss: a number to be summed too.
        device: device of the parameters.

    Returns:
        The sums of `others`, and the sum of `loss`.
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


def divide_gradients(parameters: Sequence[nn.Parameter], count: int) -> None:
    """Turn sums of gradients over the parts, or the rows, of a step into means."""
    if count > 1:
        torch._foreach_div_([each.grad for each in parameters if each.grad is not None], count)

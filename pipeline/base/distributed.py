"""What the processes (ranks) of one stage exchange.

PyTorch's collectives carry it: NCCL for tensors on GPUs, Gloo for everything else. With one process the functions here
do nothing, or return their argument, and do not import PyTorch: a stage may need no tensor. How ranks start and end is
in `pipeline.base.rank_processes`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pipeline.base.errors import InputError
from pipeline.base.ranks import is_main, world_size

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


def barrier() -> None:
    """Wait until every rank has called this."""
    if world_size() > 1:
        import torch
        import torch.distributed as dist

        dist.all_reduce(torch.zeros(1))


def sum_over_ranks(tensor: "Tensor") -> "Tensor":
    """Return the sum of the ranks' tensors, with the same bits on every rank; `tensor` itself is overwritten."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.all_reduce(tensor)
    return tensor


def copy_from_main(tensors: "Iterable[Tensor]") -> None:
    """Overwrite these tensors with rank 0's."""
    if world_size() > 1:
        import torch.distributed as dist

        for tensor in tensors:
            whole = tensor.detach().contiguous()
            dist.broadcast(whole, src=0)
            tensor.detach().copy_(whole)


def from_main(value: Callable[[], Value]) -> Value:
    """Call `value` on rank 0 alone, and return its result on every rank."""
    if world_size() == 1:
        return value()
    import torch.distributed as dist

    box: list[Any] = [value() if is_main() else None]
    dist.broadcast_object_list(box, src=0)
    return cast(Value, box[0])


def gather(mine: Sequence[Value]) -> list[Value]:
    """Collect the results for the items that `share` dealt out, in the order of the items; empty except on rank 0."""
    if world_size() == 1:
        return list(mine)
    import torch.distributed as dist

    dealt: list[Any] | None = [None] * world_size() if is_main() else None
    dist.gather_object(list(mine), dealt, dst=0)
    if dealt is None:
        return []
    merged: list[Any] = [None] * sum(map(len, dealt))
    for number, each in enumerate(dealt):
        merged[number :: world_size()] = each
    return merged


def gather_all(value: Value) -> list[Value]:
    """Return the values of all ranks, in the order of the ranks, on every rank."""
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gather_tensors(mine: "Tensor") -> "list[Tensor]":
    """Return the tensors [n, ...] of all ranks, in the order of the ranks, on every rank; n may differ."""
    if world_size() == 1:
        return [mine]
    import torch
    import torch.distributed as dist

    counts = gather_all(len(mine))
    if not any(counts):
        return [mine] * len(counts)
    padded = mine.new_zeros(max(counts), *mine.shape[1:])
    padded[: len(mine)] = mine
    found = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(found, padded)
    return [each[:count] for each, count in zip(found, counts, strict=True)]


def agree(value: object, what: str) -> None:
    """Check that every rank has the same value.

    Raises:
        InputError: the values differ, for example because the machines do not share a folder.
    """
    values = gather_all(value)
    if any(each != values[0] for each in values):
        other = next(each for each in values if each != values[0])
        raise InputError(f"{what}: rank 0 has {values[0]!r}, another one {other!r}; ranks need one shared folder")

"""Several processes (ranks) of one stage: how they start, what they tell each other, how they end.

    ACTIONBANK_PROCESSES=8 dvc repro
    torchrun --nproc-per-node 8 -m stages.train_baseline

Both give the same: eight processes of one stage, one per GPU where there are GPUs. The first lets the stage start them
itself, by `torch.distributed.run`. Messages between ranks are PyTorch's collectives: NCCL for tensors on GPUs, Gloo
for the rest. Without ranks every function here does nothing, or gives its argument back.
"""

import contextlib
import functools
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from pipeline.base.errors import InputError
from pipeline.base.faults import message_of
from pipeline.base.ranks import is_main, is_rank, world_size
from pipeline.base.workers import end_with

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

# A rank may wait as long as another one works; one that has failed ends all of them (see `across_ranks`).
PATIENCE = timedelta(days=30)
# All ranks of a launcher start together, and find the store of it that is there already.
CONNECTING = timedelta(minutes=10)
LAUNCHER = "ACTIONBANK_LAUNCHER"


def across_ranks(stage: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let a stage run in several processes: a decorator, below `@app.command()`.

    The stage has an argument `processes` (`pipeline.base.command.ProcessesOption`). Where that is above 1 and
    `torchrun` did not start this process, it starts them and waits for them. In each, `stage` runs as rank r of n. Only
    rank 0 prints. When one fails, its message appears once, the others end in silence, and the status is 1.
    """

    @functools.wraps(stage)
    def run_stage(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        processes = cast(int, kwargs.get("processes", 1))
        if is_rank():
            _run_as_rank(lambda: stage(*args, **kwargs))
        elif processes > 1:
            start_ranks(processes)
        else:
            stage(*args, **kwargs)

    return run_stage


def start_ranks(processes: int) -> None:
    """Run this very command in so many processes on this machine, and wait for them.

    Raises:
        SystemExit: with status 1 when one of them failed, after it said why.
        InputError: one of them was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as launch

    spec = getattr(sys.modules["__main__"], "__spec__", None)
    command = [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # `threads` is a parameter; without this the launcher talks about it
    logging.disable(logging.CRITICAL)  # the failed rank has said what there is to say
    try:
        arguments = ["--standalone", "--nproc-per-node", str(processes), *command, *sys.argv[1:]]
        launch(parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise InputError(f"process {number} of {processes} was killed by signal {-failure.exitcode}") from None
        raise SystemExit(1) from None
    except SignalException as signal:
        raise SystemExit(128 + signal.sigval) from None
    finally:
        logging.disable(logging.NOTSET)


def _run_as_rank(work: Callable[[], None]) -> None:
    _end_with_launcher()
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    store, number, ranks = next(rendezvous("env://", timeout=CONNECTING))
    store.set_timeout(PATIENCE)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=number, world_size=ranks, timeout=PATIENCE
    )
    try:
        with contextlib.ExitStack() as silence:
            if not is_main():
                nowhere = silence.enter_context(Path(os.devnull).open("w"))
                silence.enter_context(contextlib.redirect_stdout(nowhere))
            work()
        barrier()
    except BaseException as error:
        _fail(error, store)
    dist.destroy_process_group()


def _fail(error: BaseException, store: Any) -> NoReturn:
    """Say what is wrong, unless another rank has: the end of one tears the connections of all."""
    if isinstance(error, RuntimeError):
        time.sleep(1)  # may be such a connection, torn by a rank that was killed: then the launcher ends this one too
    try:
        first = store.add("failed", 1) == 1
    except Exception:  # the launcher, which holds the store, is gone
        first = False
    message = message_of(error)
    if first and message is not None:
        print(f"error: {message}", file=sys.stderr)
    elif first:
        traceback.print_exception(error)
    sys.stderr.flush()
    # At once: threads that read ahead and connections to ranks that wait would keep the process.
    os._exit(1)


def _end_with_launcher() -> None:
    """Let this process end as soon as its launcher has: one that is killed cannot end its ranks.

    A launcher of ours has told its number, so that one that died before this was called is noticed too. Of `torchrun`,
    called by the user, the parent is all that is known; CONNECTING ends a rank that it left while it started.
    """
    end_with(int(os.environ.get(LAUNCHER) or os.getppid()), parent=True)


def barrier() -> None:
    """Wait until every rank is here."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(1))


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of every rank's tensor of this shape, the same bits on every rank; `tensor` itself is overwritten."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def copy_from_main(tensors: Iterable[Tensor]) -> None:
    """Overwrite these tensors with rank 0's."""
    if world_size() > 1:
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            dist.broadcast(whole, src=0)
            tensor.detach().copy_(whole)


def from_main(value: Callable[[], Value]) -> Value:
    """What `value()` gives on rank 0, where alone it is called, on every rank."""
    if world_size() == 1:
        return value()
    box: list[Any] = [value() if is_main() else None]
    dist.broadcast_object_list(box, src=0)
    return cast(Value, box[0])


def gather(mine: Sequence[Value]) -> list[Value]:
    """The results for items that `share` dealt out, in the order of the items; empty on other ranks than 0."""
    if world_size() == 1:
        return list(mine)
    dealt: list[Any] | None = [None] * world_size() if is_main() else None
    dist.gather_object(list(mine), dealt, dst=0)
    if dealt is None:
        return []
    merged: list[Any] = [None] * sum(map(len, dealt))
    for number, each in enumerate(dealt):
        merged[number :: world_size()] = each
    return merged


def gather_all(value: Value) -> list[Value]:
    """Every rank's value, by rank, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def agree(value: object, what: str) -> None:
    """Check that every rank has the same.

    Raises:
        InputError: ranks differ, as where machines do not share a folder.
    """
    values = gather_all(value)
    if any(each != values[0] for each in values):
        other = next(each for each in values if each != values[0])
        raise InputError(f"{what}: rank 0 has {values[0]!r}, another one {other!r}; ranks need one shared folder")

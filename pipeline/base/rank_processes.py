"""Run one stage in several processes (ranks): how they start and end.

    ACTIONBANK_PROCESSES=8 dvc repro
    torchrun --nproc-per-node 8 -m stages.train_baseline

Both commands do the same: they run eight processes of one stage, one per GPU where there are GPUs. With the first, the
stage starts the processes itself, with `torch.distributed.run`. What ranks exchange is in `pipeline.base.distributed`.
PyTorch is imported where ranks run: a stage that runs in one process may need no tensor.
"""

import contextlib
import functools
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, cast

from pipeline.base.errors import InputError
from pipeline.base.faults import message_of
from pipeline.base.ranks import is_main, is_rank
from pipeline.base.workers import end_with

Arguments = ParamSpec("Arguments")

# A rank may wait as long as another one works; a rank that fails ends all of them (see `across_ranks`).
PATIENCE = timedelta(days=30)
# All ranks of a launcher start together, and its store exists before they do.
CONNECTING = timedelta(minutes=10)
LAUNCHER = "ACTIONBANK_LAUNCHER"


def across_ranks(stage: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorate a stage so that it can run in several processes; stands below `@app.command()`.

    The stage has an argument `processes` (`pipeline.base.command.ProcessesOption`). If it is above 1 and `torchrun` did
    not start this process, this process starts the ranks and waits for them. In each of them `stage` runs as rank r of
    n. Only rank 0 prints. When a rank fails, one message appears, the other ranks end silently, and the status is 1.
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
    """Run this command again in `processes` processes on this machine, and wait for them.

    Raises:
        SystemExit: with status 1: a process failed, and has printed why.
        InputError: a process was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as launch

    spec = getattr(sys.modules["__main__"], "__spec__", None)
    command = [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # `threads` sets it; without this line the launcher prints a warning
    logging.disable(logging.CRITICAL)  # the failed rank has printed its message already
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
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    from pipeline.base.distributed import barrier

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
    """Print the error and end this process; print nothing if another rank failed first and so broke our connections."""
    if isinstance(error, RuntimeError):
        time.sleep(1)  # maybe a connection to a killed rank: give the launcher time to end this rank too
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
    # Exit at once: threads that read ahead, and connections to waiting ranks, would keep the process alive.
    os._exit(1)


def _end_with_launcher() -> None:
    """Let this process end as soon as its launcher has ended: a launcher that is killed cannot end its ranks.

    Our own launcher passes its process id in the environment, so its death is noticed even if it came before this
    call. If the user called `torchrun`, only the parent is known; a rank whose `torchrun` dies before this call fails
    after CONNECTING.
    """
    end_with(int(os.environ.get(LAUNCHER) or os.getppid()), parent=True)

"""Worker processes that end with the process that started them."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from pipeline.base.errors import InputError
from pipeline.base.faults import message_of
from pipeline.base.processes import process_born, process_status

Item = TypeVar("Item")
Result = TypeVar("Result")


def end_with_parent() -> None:
    """Let this process end as soon as its parent has ended; an initializer for a pool.

    A pool's worker waits for work on a pipe that its siblings hold open too. Without this, the workers of a killed
    stage would wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def end_with(pid: int, *, parent: bool) -> None:
    """Let this process end as soon as another one has ended, or at once if it has ended already.

    Args:
        pid: process id of the other process.
        parent: whether the other process must be this one's parent; if not, a later process has its number.
    """
    born = process_born(pid)
    if born is None or (parent and os.getppid() != pid):
        os._exit(1)

    def watch() -> None:
        while process_born(pid) == born:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_dvc() -> None:
    """Let a stage end as soon as the DVC that runs it has ended; without DVC, do nothing.

    A stage that outlives its DVC would write its outs later, perhaps over those of a newer run.
    """
    if "DVC_STAGE" not in os.environ or multiprocessing.parent_process() is not None:
        return
    ancestors = {pid: [Path(word).name for word in _words(pid)] for pid in _ancestors()}
    by_name = [pid for pid, words in ancestors.items() if "dvc" in words]
    in_python = [pid for pid, words in ancestors.items() if words and words[0].startswith("python")]
    runner = next(iter([*by_name, *in_python]), None)
    if runner is None:  # DVC ended while this process began
        os._exit(1)
    end_with(runner, parent=False)


def _ancestors() -> Iterator[int]:
    """Yield the parent of this process, the parent's parent and so on, without the first process of the machine."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        pid = int(process_status(pid)[1])


def _words(pid: int) -> list[str]:
    """Return the words of a process's command line; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def map_in_processes(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Like `map`, in fresh processes: yield results in the order of `items`, raise the first error.

    Args:
        function: a picklable function.
        items: picklable items.
        workers: number of processes; with 1 the work is done in this process.

    Raises:
        InputError: a process was killed, and another one again when its work was retried.
    """
    jobs = list(items)
    if workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    try:
        made = _pool(min(workers, len(jobs)))
    except OSError as error:  # a pool's locks are in shared memory, of which a container may have only a few kB
        if error.filename is None:
            error.filename = "/dev/shm"
        told = message_of(error)
        print(f"warning: no worker processes can be had, one works alone: {told}", file=sys.stderr)
        yield from map(function, jobs)
        return
    done = 0
    for turn in range(2):
        try:
            for result in _map(function, jobs[done:], made):
                done += 1
                yield result
            return
        except BrokenProcessPool:
            if turn:
                raise InputError(
                    "a worker process was killed, twice (no memory is the usual cause); run it again with fewer workers"
                ) from None
            made = _pool(min(workers, len(jobs) - done))


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent)


def _map(function: Callable[[Item], Result], jobs: Sequence[Item], made: ProcessPoolExecutor) -> Iterator[Result]:
    with made as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

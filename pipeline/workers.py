"""Worker processes that end with the process that started them."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

from pipeline.faults import message_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def end_with_parent() -> None:
    """Let this process end as soon as its parent has: an initializer of a pool.

    A pool's worker waits for work on a pipe that its siblings hold open too, so that without this the workers of a
    killed stage would wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def map_in_processes(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """`map`, in fresh processes: results in the order of `items`, the first error raised.

    Args:
        function: a picklable function.
        items: picklable items.
        workers: number of processes; 1 works in this one.
    """
    jobs = list(items)
    if workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    try:
        made = ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
        )
    except OSError as error:  # its locks lie in shared memory, of which a container may have a few kB
        if error.filename is None:
            error.filename = "/dev/shm"
        told = message_of(error)
        print(f"warning: no worker processes can be had, one works alone: {told}", file=sys.stderr)
        yield from map(function, jobs)
        return
    with made as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

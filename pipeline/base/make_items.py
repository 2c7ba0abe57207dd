"""Make missing items with an executor: a thread pool, or any object with a `submit` method."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.progress import progress

AHEAD = 2000
"Jobs that are submitted and not finished, at most: what is held does not grow with the number of items."
Result = TypeVar("Result")


class Job(NamedTuple):
    """What an executor is given for one item."""

    name: str
    given: Any = None
    "What the item is made of; picklable, for an executor whose work is done elsewhere."


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the making of an item needs, as far as Ray has to know it."""

    module: str
    "The module whose code the nodes must have, with all that it imports."
    keeps_model: bool = False
    "Whether a process loads a model, and keeps it for the next item."
    may_use_gpu: bool = False
    "Whether the model takes a GPU where the cluster has some."


class ItemExecutor(Protocol):
    """What runs the calls: `concurrent.futures.Executor`, or `RayExecutor`."""

    def submit(self, fn: Callable[[Job], Result], job: Job, /) -> Future[Result]:
        """Call `fn` with a job, some time, and put what it returns or raises into the future."""


def make_items(
    make: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    count: int,
    executor: ItemExecutor,
    what: str,
    unit: str,
    made: Callable[[str, Result], None] | None = None,
) -> dict[str, InputError]:
    """Call `make` with each job, and go on after an `InputError`.

    Any other exception, such as an interrupt, ends the work and cancels the calls that have not begun; a `ClusterError`
    does so too. At most AHEAD jobs are submitted at a time, and no finished one is held.

    Args:
        make: makes one item if it is not finished (`make_item`).
        jobs: one for each item.
        count: how many there are.
        executor: runs the calls; the caller shuts it down.
        what: name of the progress bar.
        unit: what an item is, in the singular.
        made: takes the name of each finished item and what `make` returned, in this thread.

    Returns:
        The errors by name, sorted; empty where all items are finished.
    """
    failures: dict[str, InputError] = {}
    with closing(_finished(make, jobs, executor)) as finished:
        for name, future in progress(finished, what=what, total=count, unit=unit):
            try:
                result = future.result()
            except ClusterError:
                raise
            except InputError as error:
                failures[name] = error
            else:
                if made is not None:
                    made(name, result)
    return dict(sorted(failures.items()))


def _finished(
    make: Callable[[Job], Result], jobs: Iterable[Job], executor: ItemExecutor
) -> Generator[tuple[str, Future[Result]]]:
    """Yield (name, future) of each job as it is finished; cancel the others if this generator ends before its time."""
    waiting: dict[Future[Result], str] = {}
    finished: SimpleQueue[Future[Result]] = SimpleQueue()

    def next_one() -> tuple[str, Future[Result]]:
        future = finished.get()
        return waiting.pop(future), future

    try:
        for job in jobs:
            if len(waiting) >= AHEAD:
                yield next_one()
            future = executor.submit(make, job)
            waiting[future] = job.name
            future.add_done_callback(finished.put)
        while waiting:
            yield next_one()
    finally:
        for future in waiting:
            future.cancel()


def refuse_failures(failures: dict[str, str], count: int, unit: str) -> None:
    """End a stage if some of its items could not be made.

    Args:
        failures: the reason for each failed item, by name.
        count: how many items there are in all.
        unit: what an item is, in the singular.

    Raises:
        InputError: there are failures; the message shows the first one by name.
    """
    if failures:
        first = failures[min(failures)]
        raise InputError(f"{len(failures)} of {count} {unit}s failed, the others are kept in .work; {first}")

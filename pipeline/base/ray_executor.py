"""Make items on a Ray cluster: an executor with `submit`, for `make_items`.

A thread gives jobs to the cluster, no more at a time than it can work on, and settles their futures. A job whose worker
is lost (killed, out of memory, gone with its node) is done again, ATTEMPTS times in all, the last time when no other
runs: so no job is blamed for the memory that another takes. Then it is the error of its item, and the others go on.
What a machine refuses (a full disk) is tried as often, at once, and then ends the work, as it does on one machine.
"""

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.make_items import Job, Needs
from pipeline.base.ray_cluster import RayCluster
from pipeline.base.ray_jobs import Jobs, OutOfMemory, WorkerLost
from pipeline.base.ray_worker import Answer, write_folder
from pipeline.base.work import make_item

ATTEMPTS = 4
MORE_MEMORY = "it needs a node with more memory"
LOOK = "dmesg and Ray's logs on the nodes say why: no memory is the usual cause"
STEP_SECONDS = 0.05
"How long a new job may wait while others run."
WAIT_SECONDS = 0.5
"How long nobody looks whether this executor is closed, or a CPU has come."
STALL_SECONDS = 60.0
"After this time without a free worker a line says so."
Result = TypeVar("Result")


@dataclass
class _Waiting:
    """A job that is not done."""

    job: Job
    future: "Future[Any]" = field(default_factory=Future)
    failed: int = 0
    "How often its worker was lost, or the machine refused something."
    runs_alone: bool = False


class RayExecutor:
    """An executor for one function, whose calls run on a Ray cluster; the cluster is reached with the first of them."""

    def __init__(
        self, threads: int, needs: Needs, *, reach: Callable[[int, Needs, Callable[[Job], Any]], Any] = RayCluster
    ) -> None:
        """Keep what is needed to reach a cluster.

        Args:
            threads: see `RayCluster`, as `needs`.
            needs: what is made.
            reach: gives the cluster.
        """
        self._reach: Callable[[Callable[[Job], Any]], Any] = lambda make: reach(threads, needs, make)
        self._make: Callable[[Job], Any] | None = None
        self._cluster: Any = None
        self._thread: threading.Thread | None = None
        self._new: SimpleQueue[_Waiting] = SimpleQueue()
        self._queue: deque[_Waiting] = deque()
        self._last: deque[_Waiting] = deque()
        self._running: dict[Any, _Waiting] = {}
        self._closing = threading.Event()

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *error: object) -> None:
        """End the jobs that still run, and leave the cluster."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._cluster.close()

    def submit(self, fn: Callable[[Job], Result], job: Job, /) -> "Future[Result]":
        """Let `fn` be called with a job on the cluster; both are picklable.

        The future gets what `fn` returns, or an `InputError`, or a `ClusterError` where no job can be done.

        Raises:
            ClusterError: the cluster cannot be reached, or a node of it cannot make items.
        """
        if self._make is None:
            self._cluster = self._reach(fn)
            self._make = fn
            self._thread = threading.Thread(target=self._run, name="ray-executor", daemon=True)
            self._thread.start()
        assert fn is self._make, "an executor is for one function"
        waiting = _Waiting(job)
        self._new.put(waiting)
        return waiting.future

    def _run(self) -> None:
        """Do the jobs until this executor is closed; after an error all futures get it."""
        try:
            self._serve()
        except BaseException as error:
            if not isinstance(error, InputError | OSError):
                error = RuntimeError(traceback.format_exc())
            for each in [*self._running.values(), *self._queue, *self._last]:
                _fail(each, error)
            while not self._closing.is_set():
                if new := self._next(1.0):
                    _fail(new, error)

    def _next(self, seconds: float) -> _Waiting | None:
        try:
            return self._new.get(timeout=seconds) if seconds else self._new.get_nowait()
        except Empty:
            return None

    def _serve(self) -> None:
        moved, told = time.monotonic(), False
        jobs = self._cluster.jobs
        while not self._closing.is_set():
            while new := self._next(WAIT_SECONDS if self._is_idle() else 0.0):
                self._queue.append(new)
            self._start(jobs)
            if self._is_idle():
                moved = time.monotonic()
                continue
            done = jobs.wait(WAIT_SECONDS if self._queue else STEP_SECONDS)
            for reference in done:
                self._settle(self._running[reference], reference)
                del self._running[reference]
            if done or self._running:
                moved, told = time.monotonic(), False
            elif not told and time.monotonic() - moved > STALL_SECONDS:
                told = True
                print("waiting: no CPU or GPU of the Ray cluster is free for this run", file=sys.stderr)

    def _is_idle(self) -> bool:
        return not (self._running or self._queue or self._last)

    def _start(self, jobs: Jobs) -> None:
        """Start what may run now; a job that runs alone begins when no other is left, and no other while it runs."""
        if any(each.runs_alone for each in self._running.values()):
            return
        while self._queue and jobs.has_room():
            each = self._queue.popleft()
            if each.failed or each.future.set_running_or_notify_cancel():
                self._running[jobs.start(each.job)] = each
        if self._last and not self._queue and not self._running:
            each = self._last.popleft()
            self._running[jobs.start_alone(each.job)] = each

    def _settle(self, each: _Waiting, reference: Any) -> None:
        """Put what came of a job into its future, or the job where it waits to be done again."""
        try:
            answer = self._cluster.jobs.answer(reference)
        except WorkerLost as lost:
            each.failed += 1
            each.runs_alone = each.failed == ATTEMPTS - 1
            if each.failed < ATTEMPTS:
                (self._last if each.runs_alone else self._queue).append(each)
                return
            remedy = MORE_MEMORY if isinstance(lost, OutOfMemory) else LOOK
            told = (
                f"its worker was lost {ATTEMPTS} times; {lost}, the last time, when no other item of this run was made"
            )
            each.future.set_exception(InputError(f"{each.job.name}: {told}; {remedy}; nothing is stored for it"))
            return
        where = self._cluster.node_name(answer.node)
        if answer.kind == "unfit":
            raise ClusterError(f"Ray node {where}: {answer.value}")
        if answer.kind == "fault":
            each.failed += 1
            if each.failed < ATTEMPTS:
                self._queue.appendleft(each)
                return
            told = f"failed {ATTEMPTS} times, last on Ray node {where}: {answer.value}"
            raise ClusterError(f"{each.job.name}: {told}")
        if answer.kind == "refused":
            each.future.set_exception(InputError(answer.value))
        elif answer.kind == "bug":
            each.future.set_exception(RuntimeError(f"{each.job.name}, on Ray node {where}:\n{answer.value}"))
        else:
            _keep(answer)
            each.future.set_result(answer.value)


def _fail(each: _Waiting, error: BaseException) -> None:
    if each.future.cancelled() or each.future.done():
        return
    each.future.set_exception(error)


def _keep(answer: Answer) -> None:
    """Write the items that came with an answer into this machine's `.work`."""
    for stage, key, files in answer.items:
        make_item(stage, key, partial(write_folder, files=files))

"""Jobs on a Ray cluster: tasks, which Ray places, or actors, which keep a model and get one job after the other.

Ray itself retries nothing here, nor what its memory monitor ended: `RayExecutor` counts how often the worker of an item
was lost.
"""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from pipeline.base.errors import ClusterError
from pipeline.base.make_items import Job
from pipeline.base.ray_limit import Limit
from pipeline.base.ray_worker import Answer, Keeper, run_job

TASKS_A_CPU = 2
"Tasks in flight for each CPU: one runs, and one waits, so that no CPU waits for the driver."
LOOK_SECONDS = 10.0
"Between two looks at the size of the cluster, which may grow and shrink."
FAILED_STARTS = 20
"Actors that end before they are ready, one after the other, before the work ends."
REASONS = {
    "NodeDiedError": "its node is gone",
    "ObjectLostError": "what it made was lost with its node",
    "OwnerDiedError": "what it made was lost with its node",
}


class WorkerLost(Exception):
    """The process that did a job is gone, or its node; the message says how in a few words."""


class OutOfMemory(WorkerLost):
    """Ray's memory monitor ended the process, because its node was full; another process may have filled it."""


class Jobs(Protocol):
    """What starts jobs and waits for them. A job in flight is known by Ray's reference to its answer.

    After a process was ended for memory, fewer jobs run at a time (`Limit`).
    """

    def has_room(self) -> bool:
        """Return whether another job can be started now."""

    def start(self, job: Job) -> Any:
        """Start a job; return its reference."""

    def start_alone(self, job: Job) -> Any:
        """Start a job while no other runs, and return its reference; a model is loaded for it in a new process."""

    def wait(self, seconds: float) -> Sequence[Any]:
        """Wait until a job is done, or so long; return the references of those that are done."""

    def answer(self, reference: Any) -> Answer:
        """Return what came of a job that is done; raise `WorkerLost` if nobody knows."""

    def close(self) -> None:
        """End the jobs that still run."""


class _Size:
    """How many of a resource the cluster has, looked at from time to time."""

    def __init__(self, ray: Any, resource: str) -> None:
        self.ray, self.resource = ray, resource
        self.looked, self.size = -LOOK_SECONDS, 0

    def __call__(self) -> int:
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.size, self.looked = int(self.ray.cluster_resources().get(self.resource, 0)), time.monotonic()
        return self.size


def _ready(ray: Any, references: Sequence[Any], seconds: float) -> list[Any]:
    """Return those that are done: wait for the first one, and take the others that are done too."""
    if not references:
        time.sleep(seconds)
        return []
    done, rest = ray.wait(references, num_returns=1, timeout=seconds)
    if done and rest:
        done += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
    return list(done)


def _answer(ray: Any, reference: Any) -> Answer:
    try:
        answer: Answer = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # the job itself tells its errors: this is one around it
        return Answer("bug", str(error), "")
    except ray.exceptions.RayError as error:
        raise _loss(error) from None
    return answer


def _loss(error: Exception) -> WorkerLost:
    name = type(error).__name__
    if name == "OutOfMemoryError":  # of tasks and of actors, also of one that had nothing to do
        node = re.search(r"\(IP: ([^,)]+)", str(error))
        return OutOfMemory(f"its node{f' {node[1]}' if node else ''} has no more memory")
    return WorkerLost(REASONS.get(name, "its process ended"))


class Tasks:
    """One task for each job, on one CPU."""

    def __init__(self, ray: Any, token: str, box: list[Any]) -> None:
        self.ray, self.words = ray, (token, box)
        self.task = ray.remote(num_cpus=1, max_retries=0)(run_job)
        self.cpus, self.limit = _Size(ray, "CPU"), Limit()
        self.running: set[Any] = set()

    def has_room(self) -> bool:
        """Whether fewer than TASKS_A_CPU of each CPU are in flight, and no more than may be; see `Jobs`."""
        return len(self.running) < min(max(1, TASKS_A_CPU * self.cpus()), self.limit.most)

    def start(self, job: Job) -> Any:
        """See `Jobs`."""
        reference = self.task.remote(*self.words, job)
        self.running.add(reference)
        return reference

    def start_alone(self, job: Job) -> Any:
        """See `Jobs`."""
        return self.start(job)

    def wait(self, seconds: float) -> Sequence[Any]:
        """See `Jobs`."""
        return _ready(self.ray, list(self.running), seconds)

    def answer(self, reference: Any) -> Answer:
        """See `Jobs`."""
        at_work = min(len(self.running), max(1, self.cpus()))
        self.running.remove(reference)
        try:
            answer = _answer(self.ray, reference)
        except OutOfMemory:
            self.limit.lost(at_work)
            raise
        self.limit.made()
        return answer

    def close(self) -> None:
        """See `Jobs`."""
        for reference in self.running:
            with suppress(Exception):
                self.ray.cancel(reference, force=True)


class Actors:
    """As many actors as the cluster has CPUs, or GPUs where they use one; each has one job at a time.

    An actor gets a job when it runs: one that waits for a free CPU keeps no job waiting. So it is known which job an
    actor died of, too. Where nodes run out of memory, there are fewer, and none without a job: each holds a model.
    """

    def __init__(self, ray: Any, token: str, box: list[Any], *, gpus: int = 0) -> None:
        self.ray, self.words = ray, (token, box)
        # A GPU is enough to ask for: a machine may have more of them than CPUs that it lends.
        self.actor = ray.remote(num_cpus=1 - gpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)(Keeper)
        self.wanted, self.limit = _Size(ray, "GPU" if gpus else "CPU"), Limit()
        self.idle: list[Any] = []
        self.starting: dict[Any, Any] = {}
        self.running: dict[Any, Any] = {}
        self.failed_starts = 0

    def has_room(self) -> bool:
        """Whether an actor has nothing to do; see `Jobs`."""
        wanted = min(self.wanted(), self.limit.most)
        for _ in range(wanted - self._count()):
            actor = self.actor.remote()
            self.starting[actor.ready.remote()] = actor
        while self.idle and self._count() > wanted:
            self._end(self.idle.pop())
        return bool(self.idle)

    def _count(self) -> int:
        return len(self.idle) + len(self.starting) + len(self.running)

    def start(self, job: Job) -> Any:
        """See `Jobs`."""
        actor = self.idle.pop()
        reference = actor.run.remote(*self.words, job)
        self.running[reference] = actor
        return reference

    def start_alone(self, job: Job) -> Any:
        """See `Jobs`."""
        self.close()
        self.idle, self.starting = [self.actor.remote()], {}
        return self.start(job)

    def wait(self, seconds: float) -> Sequence[Any]:
        """See `Jobs`."""
        done = []
        for reference in _ready(self.ray, [*self.running, *self.starting], seconds):
            if reference in self.running:
                done.append(reference)
            else:
                self._started(reference)
        return done

    def _started(self, reference: Any) -> None:
        actor = self.starting.pop(reference)
        try:
            self.ray.get(reference)
            self.idle.append(actor)
            self.failed_starts = 0
        except self.ray.exceptions.RayError as error:
            if isinstance(_loss(error), OutOfMemory):
                self._lost_for_memory()
            self.failed_starts += 1
            if self.failed_starts > FAILED_STARTS:
                cause = " ".join(str(error).split())[:300]
                raise ClusterError(f"no process that keeps a model comes up on the Ray cluster: {cause}") from None

    def answer(self, reference: Any) -> Answer:
        """See `Jobs`."""
        actor = self.running.pop(reference)
        try:
            answer = _answer(self.ray, reference)
        except WorkerLost as lost:
            self._end(actor)  # it may only be cut off
            if isinstance(lost, OutOfMemory):
                self._lost_for_memory()
            raise
        self.idle.append(actor)
        self.limit.made()
        self.failed_starts = 0
        return answer

    def _lost_for_memory(self) -> None:
        self.limit.lost(self._count() + 1)
        while self.idle:  # Ray may have ended these too, and their next jobs would be lost
            self._end(self.idle.pop())

    def _end(self, actor: Any) -> None:
        with suppress(Exception):
            self.ray.kill(actor)

    def close(self) -> None:
        """See `Jobs`."""
        for actor in (*self.idle, *self.starting.values(), *self.running.values()):
            self._end(actor)

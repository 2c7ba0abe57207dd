from collections.abc import Callable
from typing import Any

import pytest

from pipeline.base import ray_jobs
from pipeline.base.errors import ClusterError
from pipeline.base.make_items import Job
from pipeline.base.ray_jobs import FAILED_STARTS, Actors, OutOfMemory, Tasks, WorkerLost
from pipeline.base.ray_worker import Answer, Keeper
from tests.base.stand_in_ray import OutOfMemoryError, RayError, RayTaskError, StandIn

MADE = Answer("made", 1, "n1")


def jobs_of(
    kind: type[Actors] | type[Tasks], monkeypatch: pytest.MonkeyPatch, run: Callable[..., Answer], **resources: float
) -> tuple[StandIn, Any]:
    monkeypatch.setattr(ray_jobs, "run_job", run)
    monkeypatch.setattr("pipeline.base.ray_worker.run_job", run)
    ray = StandIn(**resources)
    more = {"gpus": int("GPU" in resources)} if kind is Actors else {}
    return ray, kind(ray, "token", ["box"], **more)


def lost(*words: Any) -> Answer:
    raise RayError("killed")


@pytest.mark.parametrize("kind", [Tasks, Actors])
def test_a_job_is_told_what_it_needs_and_answers(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def run(*words: Any) -> Answer:
        told.append(words)
        return MADE

    ray, jobs = jobs_of(kind, monkeypatch, run, CPU=2.0)
    jobs.has_room()
    jobs.wait(0)
    reference = jobs.start(Job("a"))
    assert reference in jobs.wait(0)
    assert jobs.answer(reference) == MADE
    assert told == [("token", ["box"], Job("a"))]
    assert ray.options[0]["num_cpus"] == 1


def test_two_tasks_a_cpu_are_in_flight_and_end_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, jobs = jobs_of(Tasks, monkeypatch, lambda *words: MADE, CPU=2.0)
    references = []
    while jobs.has_room():
        references.append(jobs.start(Job("a")))
    assert len(references) == 4
    jobs.answer(references[0])
    assert jobs.has_room()
    jobs.close()
    assert sorted(ray.ended) == references[1:]


def test_an_actor_for_each_gpu_gets_one_job_once_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, jobs = jobs_of(Actors, monkeypatch, lambda *words: MADE, CPU=8.0, GPU=2.0)
    assert not jobs.has_room()
    assert len(ray.actors) == 2
    assert (ray.options[0]["num_gpus"], ray.options[0]["num_cpus"]) == (1, 0)
    jobs.wait(0)
    jobs.wait(0)
    jobs.start(Job("a"))
    assert jobs.has_room()
    jobs.start(Job("b"))
    assert not jobs.has_room()
    assert len(ray.actors) == 2
    jobs.close()
    assert len(ray.ended) == 2


FULL = "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: 92ef) was"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RayError(), "its process ended"),
        (OutOfMemoryError(), "its node has no more memory"),
        (OutOfMemoryError(FULL), r"its node 10\.0\.0\.7 has no more memory"),
    ],
)
def test_a_lost_actor_is_replaced(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: Any) -> Answer:
        raise error

    ray, jobs = jobs_of(Actors, monkeypatch, run, CPU=1.0)
    jobs.has_room()
    jobs.wait(0)
    with pytest.raises(WorkerLost, match=f"^{reason}$"):
        jobs.answer(jobs.start(Job("a")))
    assert ray.ended == ray.actors
    assert not jobs.has_room()
    assert len(ray.actors) == 2


def test_an_error_around_a_job_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: Any) -> Answer:
        raise RayTaskError("cannot be unpickled")

    _, jobs = jobs_of(Tasks, monkeypatch, run, CPU=1.0)
    assert jobs.answer(jobs.start(Job("a"))) == Answer("bug", "cannot be unpickled", "")


def test_actors_that_never_come_up_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    _, jobs = jobs_of(Actors, monkeypatch, lambda *words: MADE, CPU=1.0)
    monkeypatch.setattr(Keeper, "ready", lost)
    with pytest.raises(ClusterError, match=r"^no process that keeps a model comes up on the Ray cluster: killed$"):
        for _ in range(FAILED_STARTS + 1):
            jobs.has_room()
            jobs.wait(0)


def full(*words: Any) -> Answer:
    raise OutOfMemoryError(FULL)


def test_fewer_tasks_run_after_a_node_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    _, jobs = jobs_of(Tasks, monkeypatch, full, CPU=4.0)
    references = [jobs.start(Job("a")) for _ in range(8)]
    assert not jobs.has_room()
    for reference in references[:2]:
        with pytest.raises(OutOfMemory):
            jobs.answer(reference)
    assert jobs.limit.most == 2
    assert not jobs.has_room()
    monkeypatch.setattr(ray_jobs, "_answer", lambda ray, reference: MADE)
    for reference in references[2:]:
        jobs.answer(reference)
    assert jobs.limit.most == 4
    assert jobs.has_room()


def test_fewer_actors_run_after_a_node_was_full_and_none_without_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, jobs = jobs_of(Actors, monkeypatch, full, CPU=4.0)
    jobs.has_room()
    for _ in range(4):
        jobs.wait(0)
    with pytest.raises(OutOfMemory):
        jobs.answer(jobs.start(Job("a")))
    assert len(ray.ended) == 4, "the one that was lost, and those that had nothing to do"
    monkeypatch.setattr(Keeper, "ready", full)
    jobs.has_room()
    assert len(ray.actors) == 4 + 3
    jobs.wait(0)
    jobs.has_room()
    assert len(ray.actors) == 4 + 3 + 1, "three did not come up for want of memory"


def test_a_job_that_runs_alone_gets_an_actor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, jobs = jobs_of(Actors, monkeypatch, lambda *words: MADE, CPU=3.0)
    jobs.has_room()
    jobs.wait(0)
    reference = jobs.start_alone(Job("a"))
    assert len(ray.ended) == 3
    assert len(ray.actors) == 4
    assert jobs.wait(0) == [reference]
    assert jobs.answer(reference) == MADE
    _, tasks = jobs_of(Tasks, monkeypatch, lambda *words: MADE, CPU=3.0)
    assert tasks.answer(tasks.start_alone(Job("a"))) == MADE

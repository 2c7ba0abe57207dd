"""The executor without Ray: a stand-in for the cluster does a job when somebody waits for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.make_items import Job, Needs, make_items
from pipeline.base.ray_executor import ATTEMPTS, RayExecutor
from pipeline.base.ray_jobs import OutOfMemory, WorkerLost
from pipeline.base.ray_worker import Answer
from pipeline.base.work import is_finished, item_folder

NEEDS = Needs(module="pipeline.base.files")
MEMORY = "its node 10.0.0.7 has no more memory"


class Cluster:
    """Has room for two jobs; a job's `given` is its answers one after the other, the last of them for ever.

    A word is the reason of a lost worker. A job that answers `crowded` runs out of memory unless it runs alone.
    """

    def __init__(self) -> None:
        self.jobs = self
        self.running: dict[int, Job] = {}
        self.started: list[str] = []
        self.alone: list[str] = []
        self.most, self.closed = 0, False

    def has_room(self) -> bool:
        return len(self.running) < 2

    def start(self, job: Job) -> int:
        self.started.append(job.name)
        self.running[len(self.started)] = job
        self.most = max(self.most, len(self.running))
        return len(self.started)

    def start_alone(self, job: Job) -> int:
        assert not self.running
        self.alone.append(job.name)
        return self.start(job)

    def wait(self, seconds: float) -> list[int]:
        return list(self.running)[:1]

    def answer(self, reference: int) -> Answer:
        job = self.running.pop(reference)
        answers = job.given
        answer: Answer | str = answers[min(self.started.count(job.name), len(answers)) - 1]
        if answer == "crowded":
            if job.name in self.alone:
                return made(job.name)
            raise OutOfMemory(answer)
        if answer == MEMORY:
            raise OutOfMemory(answer)
        if isinstance(answer, str):
            raise WorkerLost(answer)
        return answer

    def node_name(self, node: str) -> str:
        return f"host-{node}"

    def close(self) -> None:
        self.closed = True


def made(value: Any = None, **more: Any) -> Answer:
    return Answer("made", value, "1", **more)


def run(cluster: Cluster, answers: dict[str, list[Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    found: dict[str, Any] = {}

    def reach(threads: int, needs: Needs, make: Callable[[Job], Any]) -> Cluster:
        assert (threads, needs) == (3, NEEDS)
        return cluster

    def make(job: Job) -> None: ...

    with RayExecutor(3, NEEDS, reach=reach) as executor:
        jobs = [Job(name, each) for name, each in answers.items()]
        failures = make_items(
            make, jobs, count=len(jobs), executor=executor, what="make", unit="item", made=found.__setitem__
        )
    assert cluster.closed
    return found, {name: str(error) for name, error in failures.items()}


def test_what_is_made_is_returned_and_what_is_refused_named() -> None:
    cluster, refused = Cluster(), [Answer("refused", "b.mp4: cannot be read", "1")]
    answers = {"a": [made(1)], "b": refused, **{name: [made(name)] for name in "cdefgh"}}
    found, failures = run(cluster, answers)
    assert found == {"a": 1, **{name: name for name in "cdefgh"}}
    assert failures == {"b": "b.mp4: cannot be read"}
    assert cluster.most == 2
    assert sorted(cluster.started) == sorted(answers)


def test_a_job_whose_worker_is_lost_is_done_again() -> None:
    cluster = Cluster()
    assert run(cluster, {"a": ["its node is gone", made(1)], "b": [made(2)]}) == ({"a": 1, "b": 2}, {})
    assert cluster.started.count("a") == 2


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("its process ended", "dmesg and Ray's logs on the nodes say why: no memory is the usual cause"),
        (MEMORY, "it needs a node with more memory"),
    ],
)
def test_a_job_that_ends_its_worker_each_time_is_named_and_the_others_finish(reason: str, remedy: str) -> None:
    cluster = Cluster()
    found, failures = run(cluster, {"a": [reason], "b": [made(2)]})
    assert found == {"b": 2}
    assert failures == {
        "a": f"a: its worker was lost 4 times; {reason}, the last time, when no other item of this run was made; "
        f"{remedy}; nothing is stored for it",
    }
    assert cluster.started.count("a") == ATTEMPTS


def test_a_job_that_others_leave_no_memory_is_made_when_none_of_them_runs() -> None:
    cluster = Cluster()
    others = {name: [made(name)] for name in "efgh"}
    found, failures = run(cluster, {**{name: ["crowded"] for name in "abcd"}, **others})
    assert (found, failures) == ({name: name for name in "abcdefgh"}, {})
    assert cluster.alone == cluster.started[-4:]
    assert sorted(cluster.alone) == list("abcd")


def test_a_fault_of_the_machines_ends_the_work_as_on_one_machine() -> None:
    cluster, full = Cluster(), Answer("fault", "/tmp: No space left on device", "7")
    assert run(cluster, {"a": [full, full, made(1)]}) == ({"a": 1}, {})
    cluster = Cluster()
    with pytest.raises(
        ClusterError, match=r"^[c-h]: failed 4 times, last on Ray node host-7: /tmp: No space left on device$"
    ):
        run(cluster, {name: [full] for name in "cdefgh"})
    assert len(set(cluster.started)) <= 2, "no film that waits is begun on a disk that is full"


def test_a_bug_ends_the_work_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"^a, on Ray node host-3:\nTraceback .*\nKeyError: 'x'$"):
        run(Cluster(), {"a": [Answer("bug", "Traceback ...\nKeyError: 'x'", "3")]})


def test_an_unfit_node_ends_the_work_for_all() -> None:
    with pytest.raises(ClusterError, match=r"^Ray node host-2: has other code$"):
        run(Cluster(), {**{name: [Answer("unfit", "has other code", "2")] for name in "ab"}, "c": [made()]})


def test_an_error_of_the_cluster_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    monkeypatch.setattr(cluster, "wait", lambda seconds: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run(cluster, {"a": [made()], "b": [made()]})


def test_items_that_come_as_bytes_are_written_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    run(Cluster(), {"a": [made(items=[("stage", "key", {"x/y.bin": b"12", "z.txt": b""})])]})
    assert is_finished("stage", "key")
    assert (item_folder("stage", "key") / "x/y.bin").read_bytes() == b"12"


def test_an_executor_is_for_one_function_and_reaches_nothing_without_a_job() -> None:
    def reach(threads: int, needs: Needs, make: Callable[[Job], Any]) -> Cluster:
        raise ClusterError("no cluster")

    with RayExecutor(3, NEEDS, reach=reach) as executor, pytest.raises(InputError, match=r"^no cluster$"):
        make_items(print, [Job("a")], count=1, executor=executor, what="make", unit="item")


def test_a_cluster_without_a_free_worker_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, looks = Cluster(), iter([False] * 5 + [True] * 9)
    monkeypatch.setattr("pipeline.base.ray_executor.STALL_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "has_room", lambda: next(looks))
    assert run(cluster, {"a": [made(1)]}) == ({"a": 1}, {})
    assert capsys.readouterr().err.count("waiting: no CPU or GPU of the Ray cluster is free for this run\n") == 1

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import pytest

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.make_items import AHEAD, Job, make_items, refuse_failures


def test_an_error_does_not_stop_the_others() -> None:
    made: list[str] = []

    def make(job: Job) -> str:
        if job.name in "ca":
            raise InputError(f"{job.name} is bad")
        return f"{job.name}{job.given}"

    jobs = [Job(name, 1) for name in "dcba"]
    with ThreadPoolExecutor(2) as pool:
        failures = make_items(
            make, jobs, count=4, executor=pool, what="make", unit="item", made=lambda *each: made.extend(each)
        )
    assert sorted(made) == ["b", "b1", "d", "d1"]
    assert {name: str(error) for name, error in failures.items()} == {"a": "a is bad", "c": "c is bad"}
    assert list(failures) == ["a", "c"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterError("no node")])
def test_what_is_no_error_of_an_item_drops_what_has_not_begun(error: BaseException) -> None:
    begun: list[str] = []

    def make(job: Job) -> None:
        begun.append(job.name)
        if job.name == "a":
            raise error
        time.sleep(0.01)

    jobs = [Job(name) for name in [*"ab"] * 500]
    with ThreadPoolExecutor(1) as pool, pytest.raises(type(error)):
        make_items(make, jobs, count=1000, executor=pool, what="make", unit="item")
    assert len(begun) < 1000


def test_few_jobs_are_submitted_at_a_time_and_none_is_held() -> None:
    held = WeakSet[Future[None]]()

    class Pool:
        def submit(self, fn: Callable[[Job], Any], job: Job) -> Future[Any]:
            future: Future[Any] = Future()
            held.add(future)
            waiting.append(future)
            most.append(len(held))
            if len(waiting) == AHEAD:
                while waiting:
                    waiting.pop().set_result(fn(job))
            return future

    waiting, most = list[Future[Any]](), list[int]()
    jobs = (Job(str(number)) for number in range(3 * AHEAD))
    assert make_items(lambda job: None, jobs, count=3 * AHEAD, executor=Pool(), what="make", unit="item") == {}
    assert max(most) <= AHEAD + 2


def test_failures_are_counted_and_the_first_by_name_is_told() -> None:
    refuse_failures({}, 3, "film")
    with pytest.raises(InputError) as error:
        refuse_failures({"b": "b.mp4: no disk", "a": "a.mp4: no memory"}, 3, "film")
    assert str(error.value) == "2 of 3 films failed, the others are kept in .work; a.mp4: no memory"

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.base.errors import InputError
from pipeline.base.executors import EXECUTOR, item_executor, uses_ray
from pipeline.base.make_items import Job, Needs
from pipeline.base.ray_executor import RayExecutor

NEEDS = Needs(module="pipeline.base.files")


def test_threads_make_items_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EXECUTOR, raising=False)
    begun: list[int] = []
    with item_executor(2, NEEDS, initializer=lambda: begun.append(1)) as executor:
        assert isinstance(executor, ThreadPoolExecutor)
        assert executor.submit(lambda job: job.name, Job("a")).result() == "a"
    assert begun


def test_ray_is_reached_with_the_first_job_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, "ray")
    assert uses_ray()
    with item_executor(2, NEEDS) as executor:
        assert isinstance(executor, RayExecutor)


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR, "dask")
    with pytest.raises(InputError, match=r"^ACTIONBANK_EXECUTOR=dask: expected threads or ray$"):
        uses_ray()

"""Films that are predicted elsewhere: what goes there and comes back gives what one process gives."""

import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.executors import EXECUTOR
from pipeline.base.files import digest_tree
from pipeline.base.make_items import Job, Needs
from pipeline.predict import film_results as module
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import choose_persons
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_films import FilmsResult, predict_films
from tests.predict.test_predict_films import OPTIONS, Train, bad_film, plan_of


class Elsewhere:
    """Does a job at once, with what a process on another machine would have of it; those named `lost` never."""

    def __init__(self, lost: type[InputError] = InputError) -> None:
        self.make: Any = None
        self.lost = lost

    def submit(self, fn: Any, job: Job) -> Future[Any]:
        future: Future[Any] = Future()
        self.make = self.make or pickle.loads(pickle.dumps(fn))
        if job.name == "lost":
            future.set_exception(self.lost("lost: its worker was lost"))
        else:
            future.set_result(pickle.loads(pickle.dumps(self.make(pickle.loads(pickle.dumps(job))))))
        return future


def put_elsewhere(monkeypatch: pytest.MonkeyPatch, executor: Elsewhere) -> None:
    @contextmanager
    def item_executor(threads: int, needs: Needs) -> Iterator[Elsewhere]:
        assert needs.keeps_model
        assert not needs.may_use_gpu, "the device is cpu"
        yield executor

    monkeypatch.setenv(EXECUTOR, "ray")
    monkeypatch.setattr(module, "item_executor", item_executor)


def told(found: FilmsResult) -> list[Any]:
    seconds = [found.detections(), found.results[0].persons, found.results[0].video]
    return [*found.results[0].parts, [str(each) for each in found.problems], list(seconds[0]), *seconds[1:]]


def test_films_elsewhere_give_what_they_give_here(
    trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    plan = plan_of(project, model)
    detector = choose_persons("motion", min_score=0.05, device="cpu", batch=2)
    searched = replace(plan, film=FilmSource("searched", project.film), persons=detector)
    plans = [bad_film(tmp_path), plan, searched]
    here = predict_films(model, plans, OPTIONS, keep_bank=tmp_path / "here.zarr")
    put_elsewhere(monkeypatch, Elsewhere())
    there = predict_films(model, plans, OPTIONS, keep_bank=tmp_path / "there.zarr")
    assert told(there) == told(here)
    assert len(there.results) == 2
    assert digest_tree(tmp_path / "there.zarr") == digest_tree(tmp_path / "here.zarr")


def test_a_film_whose_worker_is_lost_is_listed_and_a_cluster_that_is_lost_ends_the_work(
    trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    plan = plan_of(project, model)
    lost = replace(plan, film=FilmSource("lost", project.film))
    put_elsewhere(monkeypatch, Elsewhere())
    found = predict_films(model, [lost, plan], OPTIONS)
    assert [str(each) for each in found.problems] == [
        f"{project.film}: lost: found lost: its worker was lost, expected a film that can be predicted"
    ]
    assert len(found.results) == 1
    put_elsewhere(monkeypatch, Elsewhere(ClusterError))
    with pytest.raises(ClusterError, match=r"^lost: its worker was lost$"):
        predict_films(model, [plan, lost], OPTIONS)

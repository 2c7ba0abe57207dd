import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ClusterError, InputError
from pipeline.base.make_items import Job, Needs
from pipeline.base.ray_executor import RayExecutor
from pipeline.base.shared_items import ItemMaker, Make, share_items
from pipeline.base.work import is_finished


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def share(keys: dict[str, str], *, bad: str = "") -> tuple[dict[str, Path], list[str]]:
    calls: list[str] = []

    def load() -> Make:
        calls.append("load")

        def make(given: str, folder: Path) -> None:
            name = given.removeprefix("of ")
            calls.append(name)
            if name == bad:
                raise InputError(f"{name}: cannot be read")
            (folder / "made.txt").write_text(name)

        return make

    with ThreadPoolExecutor(1) as pool:
        return share_items(
            "stage", keys, {name: f"of {name}" for name in keys}, load, executor=pool, what="make", unit="film"
        ), calls


def test_only_what_is_missing_is_made_and_nothing_is_loaded_for_nothing() -> None:
    folders, calls = share({"a": "1", "b": "2"})
    assert calls == ["load", "a", "b"]
    assert [(folder / "made.txt").read_text() for folder in folders.values()] == ["a", "b"]
    _, calls = share({"a": "1", "b": "2", "c": "3"})
    assert calls == ["load", "c"]
    assert share({"a": "1", "b": "2", "c": "3"}) == ({**folders, "c": folders["a"].parent / "3"}, [])


def load_nothing() -> Make:
    return lambda given, folder: None


def test_what_makes_items_is_sent_without_what_it_has_loaded() -> None:
    maker = ItemMaker("stage", load_nothing)
    maker(Job("a", ("1", None)))
    assert is_finished("stage", "1")
    assert vars(pickle.loads(pickle.dumps(maker))) == {"stage": "stage", "load": load_nothing, "_write": None}


def test_a_cluster_gets_all_items_from_the_first_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def submit(self: RayExecutor, fn: Callable[[Job], Any], job: Job) -> Future[Any]:
        future: Future[Any] = Future()
        calls.append(job.name)
        future.set_result(fn(job))
        return future

    keys = {"a": "1", "b": "2"}
    monkeypatch.setattr(RayExecutor, "submit", submit)
    monkeypatch.setattr("pipeline.base.shared_items.share", lambda items: pytest.fail("ranks share nothing"))
    for is_first, expected in ((False, []), (True, ["a", "b"])):
        monkeypatch.setattr("pipeline.base.shared_items.is_main", lambda is_first=is_first: is_first)
        executor = RayExecutor(1, Needs(module="pipeline.base.work"))
        share_items("stage", keys, keys, load_nothing, executor=executor, what="make", unit="film")
        assert calls == expected


def test_the_others_are_kept_where_one_fails() -> None:
    with pytest.raises(InputError, match=r"^1 of 2 films failed, the others are kept in \.work; a: cannot be read$"):
        share({"a": "1", "b": "2"}, bad="a")
    assert share({"a": "1", "b": "2"})[1] == ["load", "a"]


def load_damaged() -> Make:
    raise InputError("models/x.safetensors: damaged")


def test_what_cannot_be_loaded_elsewhere_is_no_error_of_an_item() -> None:
    """Else every film would be named with it, after as many attempts to load."""
    with pytest.raises(ClusterError, match=r"^models/x\.safetensors: damaged$"):
        ItemMaker("stage", load_damaged)(Job("a", ("1", None)))

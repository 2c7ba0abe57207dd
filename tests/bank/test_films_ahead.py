"""The rows of the films that come next are fetched while the films before are in use."""

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.bank import films_ahead as module
from pipeline.bank.films_ahead import fetch_index, films_ahead
from pipeline.bank.part_cache import LOCKS
from pipeline.bank.reader import open_bank
from pipeline.bank.remote import open_remote
from pipeline.base.errors import InputError
from tests.bank.banks import make_rows, write_small_bank

FILMS = [*"abcdef"]


class StandIn:
    """A bank elsewhere whose films are parts of 10 bytes; `fetched_films` are Events that a fetch sets."""

    def __init__(self, cache_bytes: int, do: Callable[[str], None] = lambda film: None) -> None:
        self.fetched: Any = SimpleNamespace(cache_bytes=cache_bytes, reads=set())
        row_set = SimpleNamespace(shard_bytes={"features": 10})
        self.manifest = SimpleNamespace(
            parts={film: SimpleNamespace(row_sets={"detections": row_set}) for film in FILMS}
        )
        self.there, self.do = {film: Event() for film in FILMS}, do

    def has_rows(self, film: str, row_set: str) -> bool:
        return film in self.there and row_set == "detections"

    def part_of(self, film: str) -> str:
        return film

    def fetch(self, film: str, row_set: str, name: str) -> None:
        assert (row_set, name) == ("detections", "features")
        self.there[film].set()
        self.do(film)


def ahead(bank: Any, films: Iterable[str] = FILMS) -> Any:
    return films_ahead(list(films), lambda film: [film, "in no bank"], [bank], ["detections", "ground_truth"])


def test_films_are_fetched_while_the_first_is_in_use_and_no_further_than_the_cache_allows() -> None:
    bank = StandIn(cache_bytes=4 * 30)  # a quarter of it: three films
    batches = ahead(bank)
    assert next(batches) == "a"
    assert all(bank.there[film].wait(20) for film in "abc")
    assert not bank.there["d"].is_set()
    assert next(batches) == "b"
    assert bank.there["d"].wait(20)
    assert [*batches] == [*"cdef"]


def test_a_film_that_was_fetched_lately_is_not_asked_for_again() -> None:
    asked: list[str] = []
    bank = StandIn(4 * 1000, asked.append)
    assert [*ahead(bank, "ababa")] == [*"ababa"]
    assert set(asked) <= {"a", "b"}
    assert len(asked) <= 2


class AtOnce:
    """An executor that calls at once."""

    def __init__(self, *_: Any) -> None:
        self.shutdown: Any = lambda **_: None

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        function(*arguments)


def test_what_its_reader_holds_is_not_fetched_again_until_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(module, "MOST_BATCHES", 2)
    asked: list[str] = []
    bank = StandIn(4 * 5, asked.append)  # less than a film: no film is surely kept until its next use
    for number, film in enumerate(ahead(bank, "ab" * 8)):
        if number < 6 or number == 12:
            bank.fetched.reads.add((film, "detections"))
    assert asked == [*"ababab", *"ab", "a"], "once in vain for each; a was read again at its last use but one"


def test_an_error_is_left_to_who_reads_the_rows() -> None:
    def fail(film: str) -> None:
        raise InputError(film)

    assert [*ahead(StandIn(4 * 1000, fail))] == FILMS


def test_nothing_is_done_for_a_bank_of_this_machine(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "train.zarr", {"a": make_rows({0.0: 1})}))
    fetch_index([bank], ["detections"])
    assert [*films_ahead(FILMS, lambda film: [film], [bank], ["detections"])] == FILMS


def test_a_cache_that_cannot_keep_the_bank_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {film: make_rows({0.0: 100}, channels=3000) for film in "ab"})
    for cache_mb in (1, 3):
        bank = open_remote(f"file://{path}", tmp_path / "cache", cache_bytes=cache_mb << 20)
        fetch_index([bank], ["detections"])
    assert capsys.readouterr().err == (
        f"file://{path}: detections have 2 MiB, more than the 1 MiB that are kept of banks elsewhere: films "
        "that memory drops are fetched again; ACTIONBANK_BANK_CACHE sets it\n"
    )


def test_times_of_all_parts_are_fetched_before_any_feature(tmp_path: Path) -> None:
    path = write_small_bank(tmp_path / "train.zarr", {film: make_rows({0.0: 2}, seed=ord(film)) for film in FILMS})
    bank = open_remote(f"file://{path}", tmp_path / "cache")
    fetch_index([bank], ["detections", "objects"])
    held = [each for each in (tmp_path / "cache").iterdir() if each.name != LOCKS]
    assert len(held) == len(FILMS)
    assert all({each.name for each in folder.iterdir()} == {"boxes_xyxy", "score", "timestamp"} for folder in held)
    (path / "b/detections/timestamp/c/0").unlink()
    missing = r"train\.zarr: cannot read b/detections/timestamp/c/0: no such file"
    with pytest.raises(InputError, match=missing):
        fetch_index([open_remote(f"file://{path}", tmp_path / "other")], ["detections"])

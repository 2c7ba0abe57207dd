import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank.part_cache import LOCKS, PartCache


class Fetch:
    def __init__(self, text: str) -> None:
        self.text = text
        self.called = False

    def __call__(self, folder: Path) -> None:
        self.called = True
        (folder / "file").write_text(self.text)


def held(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.iterdir() if path.name != LOCKS}


@settings(max_examples=50)
@given(
    takes=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    sizes=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    max_bytes=st.integers(0, 25),
)
def test_the_least_recently_used_are_dropped(scratch: Path, takes: list[int], sizes: list[int], max_bytes: int) -> None:
    folder = scratch / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    cache = PartCache(folder, max_bytes)
    kept: list[int] = []
    for take in takes:
        path = cache.take(f"{take}", sizes[take], fetch := Fetch(f"{take}"))
        assert (path / "file").read_text() == f"{take}"
        assert fetch.called == (take not in kept)
        kept = [*(each for each in kept if each != take), take]
        while fetch.called and len(kept) > 1 and sum(sizes[each] for each in kept) > max_bytes:
            kept.pop(0)
        assert held(folder) == {f"{each}" for each in kept}
    cache.release()


def test_what_another_thread_has_taken_is_not_dropped(tmp_path: Path) -> None:
    cache = PartCache(tmp_path, 1)
    cache.take("a", 1, Fetch("a"))

    def elsewhere() -> None:
        cache.take("b", 1, Fetch("b"))
        cache.take("c", 1, Fetch("c"))
        cache.release()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert held(tmp_path) == {"a", "c"}
    cache.release()
    cache.take("d", 1, Fetch("d"))
    assert held(tmp_path) == {"d"}


def test_a_failed_fetch_leaves_nothing_and_holds_nothing(tmp_path: Path) -> None:
    cache = PartCache(tmp_path, 1)

    def fail(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        cache.take("a", 1, fail)
    assert held(tmp_path) == set()
    assert (cache.take("a", 1, Fetch("whole")) / "file").read_text() == "whole"


def test_a_killed_fetch_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    cache = PartCache(tmp_path, 1)

    def die(folder: Path) -> None:
        (folder / "file").write_text("half")
        os.kill(os.getpid(), 9)

    child = os.fork()
    if not child:
        cache.take("a", 1, die)
    assert os.waitpid(child, 0)[1] == 9
    assert not (tmp_path / "a-1").exists()
    assert (cache.take("a", 1, Fetch("whole")) / "file").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1", LOCKS]


def test_a_part_that_was_removed_by_hand_is_fetched_again(tmp_path: Path) -> None:
    cache = PartCache(tmp_path, 1)
    shutil.rmtree(cache.take("a", 1, Fetch("first")))
    assert (cache.take("a", 1, Fetch("second")) / "file").read_text() == "second"

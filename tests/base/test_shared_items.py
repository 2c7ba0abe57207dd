from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.base.shared_items import Make, share_items


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


def test_the_others_are_kept_where_one_fails() -> None:
    with pytest.raises(InputError, match=r"^1 of 2 films failed, the others are kept in \.work; a: cannot be read$"):
        share({"a": "1", "b": "2"}, bad="a")
    assert share({"a": "1", "b": "2"})[1] == ["load", "a"]

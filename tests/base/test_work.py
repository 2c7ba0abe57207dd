import multiprocessing
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base import checksums
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import DamagedError
from pipeline.base.runs import list_runs, recorded_run
from pipeline.base.work import (
    check_item,
    is_finished,
    item_folder,
    item_key,
    list_items,
    list_rests,
    make_item,
    remove_item,
    remove_rests,
    work_root,
)


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_the_work_directory_is_that_of_the_repository_dvc_was_called_in(tmp_path: Path) -> None:
    assert work_root() == tmp_path / ".work"


def test_an_item_is_made_once_and_appears_whole() -> None:
    key = item_key(video="abc", fps=15)
    assert key == item_key(fps=15, video="abc") != item_key(fps=30, video="abc")
    made = []

    def make(folder: Path) -> None:
        assert not is_finished("stage", key)
        (folder / "x").write_text("1")
        made.append(1)

    assert make_item("stage", key, make) == make_item("stage", key, make) == item_folder("stage", key)
    assert made == [1]
    assert [stage for stage, *_ in list_items()] == ["stage"]
    remove_item("stage", key)
    assert not is_finished("stage", key)


def test_a_failed_item_is_not_kept() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("1")
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        make_item("stage", "key", fail)
    assert list_items() == []


def _slow_item(marks: str) -> None:
    def make(folder: Path) -> None:
        with Path(marks).open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        (folder / "x").write_text("1")

    make_item("stage", "shared", make)


def test_two_processes_that_want_one_item_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_slow_item, args=(str(tmp_path / "marks"),)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "marks").read_text() == "made\n"


def _item(text: str = "whole", name: str = "x") -> Path:
    def make(folder: Path) -> None:
        (folder / "below").mkdir()
        (folder / "below" / name).write_text(text)

    return make_item("stage", "key", make)


def test_the_files_of_an_item_are_read_only_and_listed() -> None:
    folder = _item()
    assert {each.stat().st_mode & 0o777 for each in folder.rglob("*") if each.is_file()} == {0o444}
    assert read_sealed_json(folder / "item.json")["files"] == {"below/x": {"bytes": 5, "crc32c": "a9adcfac"}}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_text("whale"), r"below/x: is damaged: CRC32C is \w{8}, was written with \w{8}"),
        (lambda path: path.write_text("who"), r"below/x: is damaged: has 3 bytes, was written with 5"),
        (lambda path: path.unlink(), r"below/x: is missing from a finished item"),
        (lambda path: (path.parent.parent / "item.json").unlink(), r"item\.json: is missing or damaged"),
        (lambda path: (path.parent.parent / "item.json").write_text("{"), r"item\.json: is damaged or was edited: it "),
    ],
)
def test_a_damaged_item_is_said_and_made_again(
    capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None], said: str
) -> None:
    folder = _item()
    (folder / "below" / "x").chmod(0o644)
    (folder / "item.json").chmod(0o644)
    harm(folder / "below" / "x")
    assert not is_finished("stage", "key")
    assert re.search(rf"{said}.*; it is made again\n$", capsys.readouterr().err)
    assert (_item() / "below" / "x").read_text() == "whole"
    assert is_finished("stage", "key")
    assert capsys.readouterr().err == ""


def test_an_item_that_nothing_touched_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)
    folder = _item()
    assert is_finished("stage", "key")
    reads: list[Path] = []
    whole = checksums.file_crc32c

    def noted(path: Path) -> int:
        reads.append(path)
        return whole(path)

    monkeypatch.setattr(checksums, "file_crc32c", noted)
    assert is_finished("stage", "key")
    assert reads == []
    with pytest.raises(DamagedError, match="is damaged"):
        (folder / "below" / "x").chmod(0o644)
        (folder / "below" / "x").write_text("whale")
        check_item("stage", "key")
    assert len(reads) == 1
    assert [stage for stage, *_ in list_items()] == ["stage"], "states are no items"


def test_stray_files_end_neither_listing(tmp_path: Path) -> None:
    make_item("stage", "key", lambda folder: (folder / "x").touch())
    with recorded_run("stage", "key"):
        pass
    for name in ("notes.txt", "stage/notes.txt", "runs/notes.json", "runs/stage/half.json", "runs/stage/list.json"):
        (tmp_path / ".work" / name).write_text("[]" if "list" in name else "{")
    assert [(stage, key) for stage, key, _, _ in list_items()] == [("stage", "key")]
    assert [record["stage"] for record in list_runs()] == ["stage"]


def test_rests_of_killed_processes_are_found_wherever_we_write(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    places = (
        ".", "models", "results/head", "conf/dataset", "data/x", "data/x/bank", "data/x/source/annotations",
        ".work/stage", ".work/train_head/key", ".work/runs/stage",
    )  # fmt: skip
    rests = [tmp_path / place / f".name.{dead.pid}{end}" for place in places for end in (".partial", ".old.partial")]
    for rest in rests:
        rest.mkdir(parents=True)
        (rest / "half").touch()
    living = tmp_path / f"data/x/.frames.{os.getpid()}.partial"
    living.mkdir()
    assert list_rests() == sorted(rests)
    remove_rests(list_rests())
    assert list_rests() == []
    assert living.is_dir()

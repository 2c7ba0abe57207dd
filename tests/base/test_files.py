import math
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.annotations.safe_xml import read_xml
from pipeline.base import files
from pipeline.base.errors import InputError
from pipeline.base.files import (
    HOST,
    atomic_path,
    check_own,
    check_report,
    digest_file,
    digest_tree,
    digest_value,
    is_rest,
    json_text,
    link_tree,
    read_json,
    remove_folder,
    replace_folder,
    special_kind,
    write_bytes,
    write_json,
    write_text,
)
from pipeline.base.plain_yaml import read_yaml
from pipeline.evaluation.ava_csv import read_detections, read_keyframe_list
from pipeline.interop.banks.exchange import read_ids
from pipeline.interop.pickles import load_pickle
from pipeline.interop.torch_files import load_torch
from pipeline.tables.csv_rows import read_rows
from pipeline.tables.label_map import read_label_map


def test_a_failed_write_leaves_the_old_file_and_no_partial(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    write_bytes(target, b"old")
    with pytest.raises(RuntimeError, match="disk"), atomic_path(target) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError("disk")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.bin"]


def test_a_write_does_not_reach_through_a_hard_link(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    os.link(tmp_path / "a", tmp_path / "cache")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "cache").read_bytes() == b"old"


def test_json_has_sorted_keys_and_null_for_what_is_not_finite(tmp_path: Path) -> None:
    value = {"b": math.nan, "a": [np.float64(1.5), math.inf, np.arange(2)], "c": np.int64(3)}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == {"a": [1.5, None, [0, 1]], "b": None, "c": 3}
    assert json_text(value).index('"a"') < json_text(value).index('"b"')


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False)))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict) -> None:
    assert digest_value(value) == digest_value(dict(reversed(value.items())))


@pytest.mark.parametrize(("text", "message"), [(None, "no such file"), ("{", "not JSON")])
def test_unreadable_json_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"x.json: {message}"):
        read_json(path)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with replace_folder(folder) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(RuntimeError), replace_folder(folder) as partial:
        (partial / "b").write_text("2")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_linked_trees_share_their_bytes(tmp_path: Path) -> None:
    write_bytes(tmp_path / "item" / "deep" / "x", b"1")
    link_tree(tmp_path / "item", tmp_path / "out")
    assert (tmp_path / "out/deep/x").stat().st_ino == (tmp_path / "item/deep/x").stat().st_ino
    assert digest_tree(tmp_path / "out") == digest_tree(tmp_path / "item")
    assert digest_file(tmp_path / "out/deep/x") == digest_file(tmp_path / "item/deep/x")


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (f".out.{dead.pid}.partial", f".out.{dead.pid}.old.partial", ".out.word.partial", ".out.1.partial"):
        (tmp_path / name).mkdir()
    with replace_folder(tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.1.partial", ".out.word.partial", "out"]


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_a_killed_writer_of_a_file_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    dead = dead_process()
    ours, other, host = (tmp_path / f".{name}.{dead}-{end}" for name, end in (
        ("a.json", f"{HOST}.x_1.partial"), ("b.json", f"{HOST}.x_1.partial"), ("a.json", "00000000.x_1.partial")
    ))  # fmt: skip
    living = tmp_path / f".a.json.{os.getpid()}-{HOST}.x_1.partial"
    users = tmp_path / ".a.json.mine.partial"
    for path in (ours, other, host, living, users):
        path.touch()
    write_text(tmp_path / "a.json", "{}")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.json", other.name, host.name, living.name, users.name}
    assert [path for path in sorted(tmp_path.iterdir()) if is_rest(path)] == [other]


def test_a_large_folder_is_not_listed_for_each_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    dead = subprocess.Popen(["true"])
    dead.wait()
    rest = tmp_path / f".a.{dead.pid}-{HOST}.partial"
    rest.mkdir()
    listed: list[Path] = []
    scandir = os.scandir

    def counted(path: Path) -> Any:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    for number in range(100):
        with files.replace_folder(tmp_path / f"item {number}"):
            pass
    with files.replace_folder(tmp_path / "a"):
        pass
    assert not rest.exists(), "it was seen when the folder was listed"
    assert listed.count(tmp_path) <= 100 * files.LISTED_EACH // 1000 + 1


def test_what_a_zombie_left_is_a_rest(tmp_path: Path) -> None:
    """Killed, and its parent has not asked for it: in a container it may stay so for ever."""
    with subprocess.Popen(["sleep", "60"]) as process:
        rest = tmp_path / f".a.json.{process.pid}-{HOST}.x_1.partial"
        rest.touch()
        assert not is_rest(rest)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_rest(rest)


def test_a_removal_renames_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "item"
    folder.mkdir()
    (folder / "a").touch()
    (folder / "b").touch()

    def killed(path: Path) -> None:
        if path.exists():
            assert not folder.exists()
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(folder)
    monkeypatch.undo()
    (rest,) = tmp_path.iterdir()
    assert rest.name == f".item.{os.getpid()}-{HOST}.old.partial"
    assert sorted(path.name for path in rest.iterdir()) == ["a", "b"]
    remove_folder(folder)  # nothing is there
    assert list(tmp_path.iterdir()) == []


OWN = ("report.json", "*.csv", "pictures/*.jpg")


def test_what_the_same_command_wrote_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(2):
        with replace_folder(out, OWN) as partial:
            for name in ("report.json", "a.csv", "pictures/1.jpg"):
                write_text(partial / name, str(number))
        assert (out / "a.csv").read_text() == str(number)
    (tmp_path / "empty/inner").mkdir(parents=True)
    with replace_folder(tmp_path / "empty", OWN):
        pass


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["report.json", "notes.txt"], "notes.txt, which this command does not write"),
        (["report.json", "deeper/a.csv"], "deeper/a.csv, which this command does not write"),
        (["report.json", ".hidden"], ".hidden, which this command does not write"),
        (["a.csv"], "a.csv and no report.json, as this command writes it"),
    ],
)
def test_a_folder_of_others_is_not_replaced(tmp_path: Path, names: list[str], found: str) -> None:
    out = tmp_path / "out"
    for name in names:
        write_text(out / name, "mine")
    with pytest.raises(InputError) as error, replace_folder(out, OWN):
        raise AssertionError
    assert str(error.value) == f"{out}: holds {found}, so it is not replaced; move it away, or choose another place"
    assert [(out / name).read_text() for name in names] == ["mine"] * len(names)


def test_a_link_counts_as_a_file_and_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="holds link, which this command does not write"):
        check_own(tmp_path / "out", OWN)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is no folder, so it is not replaced"):
        check_own(tmp_path / "file", OWN)


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with replace_folder(tmp_path / "out", OWN) as partial:
        write_text(partial / "report.json", "{}")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/report.json").read_text() == "{}"


def test_a_folder_is_put_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_text(out / "a", "old")
    with pytest.raises(OSError, match="No such file"), replace_folder(out) as partial:
        partial.rmdir()
    assert (out / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("text", ["{}", '{"map": 1}', "[1, 2]", "no JSON", "[" * 100_000])
def test_a_report_replaces_a_report_and_no_other_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    check_report(path, "map", "ap")
    write_json(path, {"map": 0, "ap": {}, "more": 1})
    check_report(path, "map", "ap")
    path.write_text(text)
    with pytest.raises(InputError) as error:
        check_report(path, "map", "ap")
    assert str(error.value) == (
        f"{path}: is there and not what this command writes, so it is not replaced; choose another name"
    )
    with pytest.raises(InputError, match=r"is a folder, expected the name of a file$"):
        check_report(tmp_path, "map")


def special_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """What is no file, and what it is called."""
    os.mkfifo(folder / "pipe.csv")
    yield folder / "pipe.csv", "a pipe"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket.csv"))
        yield folder / "socket.csv", "a socket"
    (folder / "device.csv").symlink_to("/dev/zero")
    yield folder / "device.csv", "a device"
    (folder / "circle.csv").symlink_to(folder / "circle.csv")
    yield folder / "circle.csv", "a link in a circle"
    (folder / "gone.csv").symlink_to(folder / "nowhere")
    yield folder / "gone.csv", "a link to nothing"


READERS: dict[str, Callable[[Path], object]] = {
    "read_json": read_json,
    "read_rows": read_rows,
    "read_label_map": read_label_map,
    "read_xml": read_xml,
    "load_pickle": load_pickle,
    "load_torch": load_torch,
    "read_detections": read_detections,
    "read_keyframe_list": read_keyframe_list,
    "read_yaml": read_yaml,
    "read_ids": read_ids,
}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_no_reader_waits_at_a_pipe_or_reads_a_device_for_ever(tmp_path: Path, reader: str) -> None:
    for path, kind in special_files(tmp_path):
        with pytest.raises(InputError) as error:
            READERS[reader](path)
        assert str(error.value) == f"{path}: is {kind}, expected a file"


def test_files_and_folders_are_nothing_special(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert [special_kind(tmp_path / each) for each in ("file", "link", "nowhere", ".")] == [""] * 4


def test_json_of_strangers_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for data, message in {
        b"[" * 100_000: "not JSON that is read: lists or objects are nested too deeply",
        b"9" * 5000: "not JSON: Exceeds the limit (4300 digits)",
        b'"\\ud800"': "not JSON: 'utf-8' codec can't encode character '\\ud800'",
        b"\xff\xfe[\x00]\x00": "not JSON: 'utf-8' codec can't decode byte 0xff",
    }.items():
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            read_json(path)
        assert str(error.value).startswith(f"{path}: {message}")
    path.write_bytes(b'\xef\xbb\xbf["\\ud83d\\ude00"]')
    assert read_json(path) == ["\U0001f600"]

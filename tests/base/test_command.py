"""How a command ends; the process is not ended here, the calls that would do so are replaced."""

import atexit
import io
import os
import sys
from collections.abc import Callable

import pytest
import typer

from pipeline.base import command
from pipeline.base.command import new_app, run, worker_count
from pipeline.base.errors import InputError


class Ended(BaseException):
    """In place of `os._exit`, which would end the tests."""


@pytest.fixture(autouse=True)
def no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(sys, "argv", ["command"])


def app_of(body: Callable[[], None]) -> typer.Typer:
    app = new_app()
    app.command()(body)
    return app


def status_of(body: Callable[[], None]) -> object:
    with pytest.raises((Ended, SystemExit)) as end:
        run(app_of(body))
    return end.value.code if isinstance(end.value, SystemExit) else end.value.args[0]


def raising(error: Exception) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_success_is_status_0_and_what_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: print("done")) == 0
    assert capsys.readouterr() == ("done\n", "")


def test_what_the_user_caused_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(raising(InputError("params.yaml: no such file"))) == 1
    assert capsys.readouterr() == ("", "error: params.yaml: no such file\n")


def test_a_status_of_the_command_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(raising(typer.Exit(2))) == 2
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError, match="a bug"):
        run(app_of(raising(KeyError("a bug"))))


def test_output_that_cannot_be_written_is_said_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        assert status_of(lambda: None) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "standard output" in told
    assert told.count("\n") == 1


def test_workers_are_those_asked_for_or_this_processs_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [worker_count(each) for each in (3, 0)] == [3, 8]
    monkeypatch.setattr(command, "local_world_size", lambda: 3)
    assert [worker_count(each) for each in (3, 0)] == [3, 2]
    monkeypatch.setattr(command, "local_world_size", lambda: 16)
    assert worker_count(0) == 1

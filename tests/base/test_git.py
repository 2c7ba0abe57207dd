import subprocess
from typing import Any

import pytest

from pipeline.base.git import git_output


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """What git was run with; it fails where the first word is `fail`."""
    found: list[tuple[list[str], str]] = []

    def run(words: list[str], *, input: str, **_: Any) -> "subprocess.CompletedProcess[str]":
        found.append((words, input))
        return subprocess.CompletedProcess(words, int(words[1] == "fail"), stdout="printed\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_git_reads_one_line_each_and_gives_what_it_prints(asked: list[tuple[list[str], str]]) -> None:
    assert git_output("check-ignore", "--stdin", lines=["a b", "c"]) == "printed\n"
    assert asked == [(["git", "check-ignore", "--stdin"], "a b\nc\n")]


def test_what_fails_says_nothing(asked: list[tuple[list[str], str]]) -> None:
    assert git_output("fail") is None
    assert asked == [(["git", "fail"], "")]


def test_without_git_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_output("status") is None

"""Bars, and durations in words."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base import progress as bars
from pipeline.base.progress import duration_text, no_bars, progress, whole_bar
from tests.training.test_watch import terminal


def test_the_parts_of_a_whole_are_text_of_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with whole_bar("train", total=4, done=1) as bar:
        assert bar is not None
        assert list(progress(["a", "b"], what="score", unit="film")) == ["a", "b"]
        assert list(progress(iter("ab"), what="read")) == ["a", "b"]
        assert list(progress(iter("ab"), what="read", total=2)) == ["a", "b"]
    shown = [each for each in screen.bars() if "score" in each or "read" in each]
    assert all(each.startswith("train:  25%|") for each in shown)
    assert [each.rpartition(", ")[2] for each in shown] == [
        "score 1/2", "score 2/2", "read 1", "read 2", "read 1/2", "read 2/2",
    ]  # fmt: skip
    screen.forget()
    assert list(progress(["a"], what="after", unit="film")) == ["a"]
    assert screen.bars()[0].startswith("after:   0%|"), "a bar of its own again"


def test_a_failed_work_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    with pytest.raises(ValueError, match="no"), whole_bar("train", total=1, done=0):
        raise ValueError("no")
    assert bars._whole is None


def test_without_a_terminal_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with whole_bar("train", total=1, done=0) as bar:
        assert bar is None
        assert list(progress(["a"], what="score")) == ["a"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99, "99 s"), (100, "1.7 min"),
        (60 * 12.4, "12 min"), (60 * 99, "99 min"), (6000, "1.7 h"), (360000, "100.0 h"),
    ],
)  # fmt: skip
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(0, 1e8))
def test_a_duration_in_words_is_within_a_twentieth(seconds: float) -> None:
    number, unit = duration_text(seconds).split()
    assert re.fullmatch(r"\d+(\.\d)?", number)
    size = {"s": 1, "min": 60, "h": 3600}[unit]
    assert float(number) * size == pytest.approx(seconds, rel=0.05, abs=0.051)


def test_small_work_shows_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def bar(items: list[int], **how: Any) -> list[int]:
        told.append(how["disable"])
        return items

    monkeypatch.setattr("pipeline.base.progress.tqdm", bar)
    list(progress([1], what="a"))
    with no_bars():
        list(progress([1], what="b"))
    list(progress([1], what="c"))
    assert told == [None, True, None]

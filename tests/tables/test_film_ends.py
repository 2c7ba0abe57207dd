"""Keyframes behind the end of their film are left out and said."""

import numpy as np
import pytest

from pipeline.tables.film_ends import TICK_SECONDS, FilmMoment, is_beyond, keyframes_in_films, say_beyond
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, KeyframeSet, pack_keyframes


def keyframes(**times: list[float]) -> KeyframeSet:
    """At these times of films, one person each; timestamps are counted from 900."""
    box = np.array([[0.1, 0.1, 0.4, 0.8]])
    return pack_keyframes(
        [
            KeyframeBoxes(Keyframe(video, 900 + at, at), box * at, np.ones((1, 2), bool), box[:0], np.empty(0))
            for video, each in times.items()
            for at in each
        ]
    )


def test_the_end_itself_is_beyond_to_a_tick() -> None:
    times = np.array([0.0, 1.4, 1.5 - 2 * TICK_SECONDS, 1.5 - TICK_SECONDS / 2, 1.5, 9.0])
    assert is_beyond(times, 1.5).tolist() == [False, False, False, True, True, True]
    assert not is_beyond(1.4, np.inf)


def test_keyframes_before_the_end_stay_with_their_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    found = keyframes_in_films(
        keyframes(a=[0.5, 1.5, 2.0], b=[2.0]), {"a": 1.5, "b": 3.0}.__getitem__, "keyframes of x"
    )
    assert list(zip(found.video_ids, found.timestamp, strict=True)) == [("a", 900.5), ("b", 902.0)]
    assert found[1].ground_truth_xyxy.tolist() == [[0.2, 0.2, 0.8, 1.6]]
    assert capsys.readouterr().err == (
        "2 keyframes of x in 1 films lie beyond the film's end and are left out; the first: a at 901.5, "
        "1.5 s into a film of 1.5 s\n"
    )


def test_where_nothing_is_left_out_the_set_is_the_same_and_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    given = keyframes(a=[0.5, 1.0])
    assert keyframes_in_films(given, lambda _: 2.0, "keyframes") is given
    assert capsys.readouterr().err == ""


def test_only_the_main_rank_speaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    say_beyond([FilmMoment("a", 901.0, 1.0, 0.5)], "rows")
    assert capsys.readouterr().err == ""

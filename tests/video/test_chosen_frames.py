from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.video.chosen_frames import ChosenFrames, UnforeseenFramesError, choose_frames
from pipeline.video.decode import decode_video
from pipeline.video.probe import probe_video
from tests.video.films import number_of, write_film


def only(indices: list[int], length: float, total: int) -> NDArray[np.int64]:
    assert (length, total) == (2.4, 36)
    return np.array(indices, np.int64)


def kept(path: Path, wanted: Callable[[float, int], NDArray[np.int64]], fps: float = 15.0) -> list[int]:
    media = probe_video(path)
    chosen = choose_frames(media, fps, wanted)
    assert chosen is not None
    whole = list(decode_video(path, media, decoder="pyav"))
    decoded = list(chosen.select(whole))
    assert [time for time, _ in decoded] == [time for time, _ in whole]
    assert all(
        frame is None or np.array_equal(frame, other) for (_, frame), (_, other) in zip(decoded, whole, strict=True)
    )
    return [number_of(frame) for _, frame in decoded if frame is not None]


def test_the_frames_that_the_grid_shows_are_kept_and_the_first(tmp_path: Path) -> None:
    path = write_film(tmp_path / "f.mp4")
    assert kept(path, partial(only, [])) == [0]
    assert kept(path, partial(only, [0, 3, 4, 35])) == [0, 5, 7, 58]
    assert len(kept(path, partial(only, list(range(36))))) == 36


def test_a_film_whose_packets_tell_too_little_has_no_choice(tmp_path: Path) -> None:
    media = probe_video(write_film(tmp_path / "f.mp4"))
    for less in (replace(media, is_timed=False), replace(media, expected_frames=61)):
        assert choose_frames(less, 15.0, partial(only, [])) is None


@pytest.mark.parametrize("change", ["lost", "one more", "later"])
def test_other_frames_than_foreseen_end_the_choice(tmp_path: Path, change: str) -> None:
    path = write_film(tmp_path / "f.mp4")
    media = probe_video(path)
    seconds = media.seconds
    foreseen = {"lost": [*seconds, 2.4], "one more": seconds[:-1], "later": [*seconds[:-1], 2.39]}[change]
    with pytest.raises(UnforeseenFramesError):
        list(ChosenFrames(foreseen, np.zeros(len(foreseen), bool)).select((each, None) for each in media.seconds))

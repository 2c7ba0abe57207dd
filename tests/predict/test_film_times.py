"""The frames that are stored for a film are those that its prediction reads."""

import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.predict.film_sources import FilmSource
from pipeline.predict.film_times import FilmTimes, FramesOfTimes
from pipeline.predict.find_persons import Persons, choose_persons, read_boxes
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_film import PredictOptions, extract_film, frames_of, predict_film
from pipeline.tables.timelines import Timeline
from pipeline.video.chosen_frames import Wanted
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore, LeftOutError
from tests.predict.conftest import FILM, Trained

TIMES = FilmTimes(
    timeline=Timeline("val", 900.0, 0.5), every=1.0, asked=None, boxed=None, with_window=True, with_whole_frames=False
)
CLIP = ClipInput(frames=2, interval=4, short_side=32, mean=(0, 0, 0), std=(1, 1, 1))


def test_a_detector_looks_at_every_second_of_the_film() -> None:
    assert TIMES.scored(3.2).tolist() == [900, 901, 902]
    assert TIMES.taken(3.2).tolist() == [900, 901, 902]
    dense = replace(TIMES, every=0.75)
    assert dense.scored(3.2).tolist() == [900, 900.75, 901.5, 902.25]
    assert dense.taken(3.2).tolist() == [900, 900.75, 901, 901.5, 902, 902.25]
    assert replace(dense, with_window=False).taken(3.2).tolist() == dense.scored(3.2).tolist()


def test_boxes_are_taken_where_there_are_some_within_the_film() -> None:
    known = replace(TIMES, every=2, boxed=np.array([899.0, 900.1, 900.6, 901.4, 902.0, 902.7, 903.0]))
    assert known.scored(3.2).tolist() == [900.1, 902.0]
    assert known.taken(3.2).tolist() == [900.1, 901.4, 902.0]
    assert replace(known, with_whole_frames=True).taken(3.2).tolist() == [900, 901, 902]
    assert replace(known, asked=np.array([900.6, 990.0])).taken(3.2).tolist() == [900.1, 900.6, 901.4, 902.0]


def test_frames_are_those_of_the_clips_and_of_the_times() -> None:
    frames = FramesOfTimes(replace(TIMES, with_window=False), (CLIP,), fps=10.0)
    found = pickle.loads(pickle.dumps(frames))(3.2, 32)
    assert found.tolist() == [1, 5, 11, 15, 21, 25]
    assert FramesOfTimes(replace(TIMES, asked=np.empty(0), with_window=False), (CLIP,), 10.0)(3.2, 32).tolist() == []


@dataclass(frozen=True)
class Less:
    """All frames that are needed but one."""

    frames: Wanted
    place: int

    def __call__(self, length: float, total: int) -> NDArray[np.int64]:
        return np.delete(self.frames(length, total), self.place)


@pytest.mark.parametrize("name", ["bank", "all"])
@pytest.mark.parametrize("boxes", ["motion", "known"])
def test_a_film_stored_in_part_gives_what_the_whole_film_gives(
    trained: Callable[[str], Trained], tmp_path: Path, name: str, boxes: str
) -> None:
    project = trained(name)
    model = load_model(project.folder, device="cpu", workers=1)
    film, options, line = FilmSource(FILM, project.film), PredictOptions(), project.timeline
    persons: Persons = choose_persons("motion", min_score=0.05, device="cpu", batch=2)
    if boxes == "known":
        persons, _ = read_boxes(project.proposals, project.objects, {FILM: line}, min_score=0.05)
    needed = frames_of(model, FILM, persons, line, options)

    seconds: list[float] = []

    def found(folder: str, wanted: Wanted | None) -> tuple[FrameStore, bytes]:
        store = extract_film(film, tmp_path / folder / "film", model, threading.Event(), wanted)
        assert isinstance(store, FrameStore)
        made = predict_film(model, film, store, persons, timeline=line, options=options, folder=tmp_path / folder)
        assert len(made.detections) > 20
        seconds[:] = [each.keyframe.time_seconds for each in made.scored]
        return store, b"".join(each.scores.tobytes() for each in made.scored)

    (whole, expected), (part, scores) = found("whole", None), found("part", needed)
    assert scores == expected
    total = whole.grid_frames(FILM)
    indices = needed(whole.duration_seconds(FILM), total)
    assert len(indices) < 0.6 * total
    assert np.array_equal(part.read_clip(FILM, indices), whole.read_clip(FILM, indices))
    left_out = np.setdiff1d(np.arange(1, total), indices)
    with pytest.raises(LeftOutError, match=rf"{FILM}\.arrow: grid frame {left_out[0]} of '{FILM}' was left out$"):
        part.read_clip(FILM, left_out[:1])
    middle = round(seconds[0] * part.fps)  # of a clip that is scored
    with pytest.raises(LeftOutError, match=rf"grid frame {middle} of"):
        found("less", Less(needed, indices.tolist().index(middle)))

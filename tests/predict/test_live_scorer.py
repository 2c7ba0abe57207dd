"""What is scored live is what `predict --memory past` scores on the same frames."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from pipeline.boxes.detectors import ChosenDetector
from pipeline.boxes.film_frames import FilmFrames
from pipeline.boxes.motion import detect_motion
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import FrameDetector, Persons, TableOfBoxes
from pipeline.predict.live_run import run_live
from pipeline.predict.live_scorer import LiveScorer, LiveStep, PastMotion
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.predict_film import PredictOptions, extract_film, predict_film
from pipeline.predict.typed_results import json_line
from pipeline.tables.schemas import BOXES, read_table
from pipeline.video.store import FrameStore
from tests.predict.conftest import CHOICES, FILM, Trained
from tests.predict.streams import FakeCamera, frames_of
from tests.stages.zoo import DATA


@pytest.fixture(scope="module", params=CHOICES)
def model(request, trained: Callable[[str], Trained]) -> Iterator[Model]:
    threads = torch.get_num_threads()
    yield load_model(trained(request.param).folder, device="cpu", workers=1, batch=2)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def film(trained: Callable[[str], Trained]) -> Path:
    return trained("bank").film


@pytest.fixture(scope="module")
def boxes(trained: Callable[[str], Trained]) -> TableOfBoxes:
    """The boxes of persons and objects of the film, at whole seconds."""
    table = read_table(trained("bank").folder / DATA / "boxes/boxes.parquet", BOXES)
    table = table.filter(pc.equal(table["video_id"], FILM))
    seconds = pc.floor(table["time_seconds"])
    return TableOfBoxes(
        table.set_column(1, BOXES.field("timestamp"), seconds).set_column(2, BOXES.field("time_seconds"), seconds),
        "boxes",
    )


def whole(model: Model, film: Path, persons: Persons, folder: Path, every: float):
    source = FilmSource(film.stem, film)
    store = extract_film(source, folder / "film", model, stop=threading.Event())
    assert isinstance(store, FrameStore)
    options = PredictOptions(every=every, memory="past")
    return predict_film(model, source, store, persons, options=options, folder=folder)


def live(model: Model, film: Path, persons: Persons, every: float) -> list[LiveStep]:
    steps: list[LiveStep] = []
    scorer = LiveScorer(model, persons, film.stem, steps.append)
    lines: list[str] = []
    camera = FakeCamera(frames_of(film))
    counts = run_live(
        camera, scorer.tap(every), scorer, sinks=[lambda each: lines.append(json_line(each))], waiting=1000
    )
    assert (counts.outcome, counts.dropped, counts.scored) == ("ended", 0, len(lines))
    assert lines == [json_line(each.second) for each in steps]
    return steps


def joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()


def test_it_is_what_predict_gives_with_the_past_alone(
    model: Model, film: Path, boxes: TableOfBoxes, tmp_path: Path
) -> None:
    expected = whole(model, film, boxes, tmp_path, 1.0)
    steps = live(model, film, boxes, 1.0)
    assert len(expected.detections) > 20
    assert joined([each.persons for each in steps]) == expected.persons.combine_chunks()
    assert joined([each.detections for each in steps]) == expected.detections.combine_chunks()


class Squares:
    """A detector that sees each frame alone: two boxes whose places follow from the picture."""

    def __call__(self, frames: FilmFrames) -> list[np.ndarray]:
        found = []
        for frame in frames:
            at = float(frame.mean()) / 1000
            found.append(np.array([[at, 0.1, at + 0.3, 0.9, 0.97, -1], [0.5, at, 0.8, at + 0.6, 0.95, -1]]))
        return found


def test_a_detector_sees_the_same_frames(model: Model, film: Path, tmp_path: Path) -> None:
    detector = FrameDetector(ChosenDetector({}, Squares, names=["person"]), "squares", 0.05, 2, [])
    found = whole(model, film, detector, tmp_path, 2.0)
    steps = live(model, film, detector, 2.0)
    assert len(found.persons) == 20
    assert joined([each.persons for each in steps]) == found.persons.combine_chunks()
    assert joined([each.detections for each in steps]) == found.detections.combine_chunks()


def test_times_without_a_person_give_empty_seconds(model: Model, film: Path) -> None:
    nobody = TableOfBoxes(BOXES.empty_table(), "nobody")
    steps = live(model, film, nobody, 5.0)
    assert [(each.second.time_seconds, each.second.persons) for each in steps] == [(5.0 * at, ()) for at in range(4)]
    assert not any(len(each.detections) + len(each.persons) for each in steps)


def test_motion_is_found_against_the_past() -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (96, 128, 3)).astype(np.uint8)
    frames = []
    for at in range(8):
        frame = ground.copy()
        frame[20:80, 10 + 12 * at : 34 + 12 * at] = 250
        frames.append(frame)
    past = PastMotion()
    found = [past([frame])[0] for frame in frames]
    assert len(found[0]) == 0, "the first frame is the whole scene"
    whole = detect_motion(frames)
    np.testing.assert_array_equal(found[-1], whole[-1])

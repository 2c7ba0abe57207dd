"""A film of the validation split, predicted with the boxes that it was evaluated with."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.bank.reader import open_bank, open_parts
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import TableOfBoxes, read_boxes
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.predict_film import FilmResult, PredictOptions, extract_film, frames_of, predict_film
from pipeline.tables.schemas import BOXES, DETECTIONS, read_table
from pipeline.video.store import FrameStore
from tests.predict.conftest import CHOICES, FILM, Trained
from tests.stages.zoo import DATA
from tests.video.films import write_film

Train = Callable[[str], Trained]


def predicted(
    project: Trained, model: Model, folder: Path, table: pa.Table | None = None, **options: Any
) -> FilmResult:
    """Predict the film with the boxes of the project, or with a table of them."""
    boxes, problems = read_boxes(
        project.proposals, project.objects, {FILM: project.timeline}, min_score=model.settings.min_score
    )
    assert not problems
    film, chosen = FilmSource(FILM, project.film), PredictOptions(**options)
    persons = boxes if table is None else TableOfBoxes(table, "a table")
    wanted = frames_of(model, FILM, persons, project.timeline, chosen)
    store = extract_film(film, folder / "film", model, threading.Event(), wanted)
    assert isinstance(store, FrameStore)
    return predict_film(model, film, store, persons, timeline=project.timeline, options=chosen, folder=folder)


@pytest.mark.parametrize("name", CHOICES)
def test_the_detections_are_those_that_evaluate_wrote(
    name: str, trained: Train, elsewhere: Path, tmp_path: Path
) -> None:
    project = trained(name)
    model = load_model(project.folder, device="cpu", workers=1)
    found = predicted(project, model, tmp_path)
    expected = read_table(project.scored(), DETECTIONS)
    assert expected.num_rows > 300
    stamps = pc.unique(expected["timestamp"])
    assert found.detections.filter(pc.is_in(found.detections["timestamp"], stamps)).equals(expected)
    assert len(found.scored) > len(stamps), "every second with a person is scored, annotated or not"
    assert found.objects == 19
    assert list(elsewhere.iterdir()) == [], "nothing is left in the current folder"
    at = expected.select(["video_id", "timestamp"])
    named = predicted(project, model, tmp_path / "named", at=at)
    assert named.detections.equals(expected), "the same seconds alone"


def test_the_rows_of_the_windows_are_those_of_the_bank(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    found = predicted(project, load_model(project.folder, device="cpu"), tmp_path)
    bank, made = open_bank(project.folder / DATA / "bank/val.zarr"), open_parts(found.parts, found.provenance)
    for row_set in ("detections", "objects"):
        one, other = bank.rows(FILM, row_set), made.rows(FILM, row_set)
        assert one.features.tobytes() == other.features.tobytes()
        assert one.timestamp.tolist() == other.timestamp.tolist()
    for key in ("checkpoint_sha256", "box_threshold", "clip", "roi", "seconds"):
        assert bank.provenance[key] == made.provenance[key]


def test_persons_are_the_boxes_that_were_scored_with_their_tracks(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    found = predicted(project, load_model(project.folder, device="cpu"), tmp_path)
    assert len(found.persons) == sum(len(each.boxes_xyxy) for each in found.scored)
    boxes = np.concatenate([each.boxes_xyxy for each in found.scored])
    assert found.persons["x2"].to_pylist() == boxes[:, 2].tolist()
    assert found.persons["score"].to_numpy().min() >= 0.9
    assert found.persons["track_id"].null_count == 0
    assert 1 < len(found.persons["track_id"].unique()) < 20
    assert found.video["path"].to_pylist() == [str(project.film)]


def test_another_step_scores_other_times_with_the_same_windows(trained: Train, tmp_path: Path) -> None:
    """Windows hold the rows of whole seconds whatever is scored, so every second time has the scores it had."""
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    whole = predicted(project, model, tmp_path / "1")
    second = predicted(project, model, tmp_path / "2", every=2)
    times = second.detections["timestamp"].unique().to_pylist()
    assert times == [each for each in whole.detections["timestamp"].unique().to_pylist() if each % 2 == 0]
    kept = whole.detections.filter(pc.is_in(whole.detections["timestamp"], pa.array(times)))
    assert kept.equals(second.detections)


def test_boxes_between_the_seconds_are_scored_and_fill_no_window(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    boxes, _ = read_boxes(project.proposals, None, {FILM: project.timeline}, min_score=0.05)
    later = boxes.table
    for column in ("timestamp", "time_seconds"):
        place = BOXES.get_field_index(column)
        later = later.set_column(place, BOXES.field(column), pc.add(later[column], 0.4))
    both = pa.concat_tables([boxes.table, later]).sort_by([("timestamp", "ascending"), ("score", "descending")])
    usual = predicted(project, model, tmp_path / "1", boxes.table)
    dense = predicted(project, model, tmp_path / "2", both, every=0.4)
    shared = pc.is_in(dense.detections["timestamp"], usual.detections["timestamp"].unique())
    assert dense.detections.filter(shared).equals(usual.detections)
    assert len(dense.scored) > 1.9 * len(usual.scored)
    assert open_parts(dense.parts, dense.provenance).count("detections") == len(usual.persons)


def test_past_windows_do_not_see_what_comes(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    boxes, _ = read_boxes(project.proposals, None, {FILM: project.timeline}, min_score=0.05)
    early = boxes.table.filter(pc.less_equal(boxes.table["timestamp"], 910))
    full, past = (predicted(project, model, tmp_path / each, boxes.table, memory=each) for each in ("full", "past"))
    assert not full.detections.equals(past.detections)
    cut = predicted(project, model, tmp_path / "cut", early, memory="past")
    before = past.detections.filter(pc.less_equal(past.detections["timestamp"], 910))
    assert cut.detections.equals(before)


def test_a_film_without_a_person_has_no_detection(trained: Train, tmp_path: Path) -> None:
    for name in CHOICES:
        project = trained(name)
        model = load_model(project.folder, device="cpu")
        nobody = predicted(project, model, tmp_path / name, BOXES.empty_table())
        assert (nobody.scored, len(nobody.detections), len(nobody.persons), nobody.boxes) == ([], 0, 0, 0)
        weak, _ = read_boxes(project.proposals, None, {FILM: project.timeline}, min_score=0.05)
        place = BOXES.get_field_index("score")
        below = weak.table.set_column(place, BOXES.field("score"), pa.array([0.5] * len(weak.table)))
        found = predicted(project, model, tmp_path / f"{name} weak", below)
        assert (found.scored, found.boxes) == ([], len(weak.table))


def test_a_film_shorter_than_the_clip_is_scored(trained: Train, tmp_path: Path) -> None:
    """Its first and last frames are repeated, as at the ends of every film."""
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    path = write_film(tmp_path / "short.mp4", frames=2)
    film = FilmSource("short", path)
    store = extract_film(film, tmp_path / "work", model, threading.Event())
    assert isinstance(store, FrameStore)
    assert store.grid_frames("short") < model.settings.fps
    row = {"video_id": "short", "timestamp": 0.0, "time_seconds": 0.0, "score": 0.95, "source": "x"}
    boxes = pa.Table.from_pylist([{**row, "x1": 0.1, "y1": 0.1, "x2": 0.6, "y2": 0.9}], BOXES)
    found = predict_film(
        model, film, store, TableOfBoxes(boxes, "x"), options=PredictOptions(), folder=tmp_path / "work"
    )
    assert [each.keyframe.timestamp for each in found.scored] == [0.0]


def test_what_cannot_be_read_is_a_problem(trained: Train, tmp_path: Path) -> None:
    model = load_model(trained("bank").folder, device="cpu")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    found = extract_film(FilmSource("empty", empty), tmp_path / "work", model, threading.Event())
    assert found == Problem(str(empty), "empty", "0 bytes", "a video file")


def test_options_that_mean_nothing_are_refused(trained: Train) -> None:
    model = load_model(trained("all").folder, device="cpu")
    with pytest.raises(InputError) as error:
        PredictOptions(memory="past").check(model)
    assert str(error.value) == "--memory past: head acrn reads no window"
    with pytest.raises(InputError) as error:
        PredictOptions(every=0).check(model)
    assert str(error.value) == "--every 0: expected seconds, at least 0.02"


def test_a_whole_frame_stands_for_a_second_without_a_box_where_the_bank_says_so(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    bank = replace(model.settings.bank, full_frame_box=True)
    model = replace(model, settings=replace(model.settings, bank=bank))
    boxes, _ = read_boxes(project.proposals, None, {FILM: project.timeline}, min_score=0.05)
    without = boxes.table.filter(pc.not_equal(boxes.table["timestamp"], 905.0))
    found = predicted(project, model, tmp_path, without)
    rows = found.persons.filter(pc.equal(found.persons["timestamp"], 905.0)).to_pylist()
    assert [(each["x1"], each["x2"], each["score"], each["source"]) for each in rows] == [(0, 1, 1, "whole frame")]

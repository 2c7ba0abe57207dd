"""Several films: those that cannot be read do not stop the others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.bank.check_bank import verify_bank
from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.predict import film_results as module
from pipeline.predict.film_plans import FilmPlan
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import TableOfBoxes, choose_persons, read_boxes
from pipeline.predict.load_model import Model, load_model
from pipeline.predict.predict_film import PLAIN, PredictOptions, predict_film
from pipeline.predict.predict_films import check_keep_bank, predict_films
from pipeline.predict.predicted import Predicted
from pipeline.predict.typed_results import Second
from pipeline.tables.schemas import BOXES
from tests.predict.conftest import FILM, Trained
from tests.stages.zoo import DATA

Train = Callable[[str], Trained]
OPTIONS = PredictOptions()


def plan_of(project: Trained, model: Model) -> FilmPlan:
    boxes, _ = read_boxes(project.proposals, project.objects, {FILM: project.timeline}, min_score=0.05)
    return FilmPlan(FilmSource(FILM, project.film), boxes, project.timeline, "proposals")


def bad_film(folder: Path, data: bytes = b"") -> FilmPlan:
    path = folder / "bad.mp4"
    path.write_bytes(data)
    return FilmPlan(FilmSource("bad", path), TableOfBoxes(BOXES.empty_table(), "x"), PLAIN, "x")


def test_a_film_that_cannot_be_read_is_listed_and_the_others_go_on(trained: Train, tmp_path: Path, capsys) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    plans = [bad_film(tmp_path), plan_of(project, model)]
    capsys.readouterr()  # what the training told
    seconds: list[Second] = []
    found = predict_films(model, plans, OPTIONS, on_second=seconds.append)
    assert [each.video["video_id"].to_pylist() for each in found.results] == [[FILM]]
    assert [str(each) for each in found.problems] == [f"{tmp_path}/bad.mp4: bad: found 0 bytes, expected a video file"]
    assert len(seconds) == len(found.results[0].scored) == 19
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/bad.mp4: bad: found 0 bytes, expected a video file",
        f"{FILM}: {len(found.results[0].persons)} persons at 19 times, boxes: proposals",
    ]
    made = found.predicted(model, every=1.0)
    assert isinstance(made, Predicted)
    assert made.model["every"] == 1.0
    assert made.model["settings"]["fps"] == 15
    assert made.model["digest"] == model.files.digest


def test_without_any_film_the_work_fails(trained: Train, tmp_path: Path, capsys) -> None:
    model = load_model(trained("all").folder, device="cpu")
    bad = bad_film(tmp_path, b"text, not a film")
    capsys.readouterr()
    with pytest.raises(InputError) as error:
        predict_films(model, [bad], OPTIONS)
    assert str(error.value).startswith(f"{tmp_path}/bad.mp4: bad: found no media")
    assert capsys.readouterr().err == "", "it is said once"
    with pytest.raises(InputError, match=r"^none of 2 films can be read$"):
        predict_films(model, [bad, bad], OPTIONS)
    assert capsys.readouterr().err.count("bad.mp4: bad: found no media") == 2


def test_a_fault_of_one_film_stops_no_other(trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    predict, plan = predict_film, plan_of(project, model)

    def failing(model, film, *arguments, **options):
        if film.video_id == "first":
            raise InputError("the decoder was killed")
        return predict(model, film, *arguments, **options)

    monkeypatch.setattr(module, "predict_film", failing)
    first = replace(plan, film=FilmSource("first", project.film))
    found = predict_films(model, [first, plan], OPTIONS)
    assert [str(each) for each in found.problems] == [
        f"{project.film}: first: found the decoder was killed, expected a film that can be predicted"
    ]
    assert len(found.results) == 1


def test_a_ctrl_c_keeps_the_films_that_are_done(trained: Train, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    project = trained("all")
    model = load_model(project.folder, device="cpu")
    predict, plan = predict_film, plan_of(project, model)

    def interrupted(model, film, *arguments, **options):
        if film.video_id == "later":
            raise KeyboardInterrupt
        return predict(model, film, *arguments, **options)

    monkeypatch.setattr(module, "predict_film", interrupted)
    later = replace(plan, film=FilmSource("later", project.film))
    found = predict_films(model, [plan, later, later], OPTIONS)
    assert (found.interrupted, len(found.results)) == (True, 1)
    assert "interrupted: 1 of 3 films are done" in capsys.readouterr().err.splitlines()


def test_nobody_is_said_with_the_reason(trained: Train, tmp_path: Path, capsys) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    nobody = replace(plan_of(project, model), persons=TableOfBoxes(BOXES.empty_table(), "x"))
    capsys.readouterr()  # what the training told
    found = predict_films(model, [nobody], OPTIONS)
    assert found.without_person == [FILM]
    assert capsys.readouterr().err == f"{FILM}: no person: no box in it, boxes: proposals\n"
    late = plan_of(project, model)
    late = replace(late, timeline=replace(late.timeline, first_timestamp=late.timeline.first_timestamp + 1000))
    predict_films(model, [late], OPTIONS)
    told = capsys.readouterr().err
    assert told.startswith(f"{FILM}: no person: no box at its times; boxes are there from ")
    assert told.endswith("(--first-timestamp says when the film begins), boxes: proposals\n")
    strict = load_model(project.folder, device="cpu", box_threshold=1.0)
    plan = plan_of(project, strict)
    predict_films(strict, [plan], OPTIONS)
    assert capsys.readouterr().err == (
        f"{FILM}: no person: none of 79 boxes has a score of at least 1, which --box-threshold sets, boxes: proposals\n"
    )


def test_a_head_that_looks_at_objects_says_once_that_there_are_none(trained: Train, capsys) -> None:
    project = trained("aia")
    model = load_model(project.folder, device="cpu")
    plan = plan_of(project, model)
    line = (
        "head aia_dense_serial looks at objects, and no film has one (--objects, or a detector that finds them): it "
        "sees none"
    )
    predict_films(model, [plan], OPTIONS)
    assert line not in capsys.readouterr().err
    boxes, _ = read_boxes(project.proposals, None, {FILM: project.timeline}, min_score=0.05)
    predict_films(model, [replace(plan, persons=boxes)], OPTIONS)
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_the_bank_that_was_made_can_be_kept(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    path = tmp_path / "kept.zarr"
    predict_films(model, [plan_of(project, model)], OPTIONS, keep_bank=path)
    assert verify_bank(path) == []
    kept, own = open_bank(path), open_bank(project.folder / DATA / "bank/val.zarr")
    assert kept.rows(FILM, "detections").features.tobytes() == own.rows(FILM, "detections").features.tobytes()
    check_keep_bank(model, path, force=True)
    with pytest.raises(InputError) as error:
        check_keep_bank(model, path, force=False)
    assert str(error.value) == f"{path}: is there already; --force replaces it"
    with pytest.raises(InputError, match="not a feature bank"):
        check_keep_bank(model, tmp_path, force=True)
    alone = load_model(trained("all").folder, device="cpu")
    with pytest.raises(InputError) as error:
        check_keep_bank(alone, path, force=False)
    assert str(error.value) == "--keep-bank: head acrn reads no window, so no bank is made"


def test_a_detector_gives_the_boxes_of_its_stage(trained: Train, tmp_path: Path) -> None:
    """Two runs find the same, at every second and at every half."""
    project = trained("bank")
    model = load_model(project.folder, device="cpu", box_threshold=0.5)
    motion = choose_persons("motion", min_score=0.05, device="cpu", batch=8)
    plan = FilmPlan(FilmSource(FILM, project.film), motion, PLAIN, "motion")
    one, other = (predict_films(model, [plan], OPTIONS).results[0] for _ in range(2))
    assert one.detections.equals(other.detections)
    assert one.persons["source"].unique().to_pylist() == ["motion"]
    dense = predict_films(model, [plan], PredictOptions(every=0.5)).results[0]
    assert {each.keyframe.timestamp % 1 for each in dense.scored} == {0, 0.5}

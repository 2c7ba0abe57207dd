import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.film_plans import UserChoice, _own_told, plan_films, project_films
from pipeline.predict.film_sources import FilmSource
from pipeline.predict.find_persons import FrameDetector, TableOfBoxes
from pipeline.predict.load_model import load_model
from tests.predict.conftest import FILM, Trained

Train = Callable[[str], Trained]


def test_a_film_of_the_project_takes_its_boxes_and_times_under_any_name(trained: Train, elsewhere: Path) -> None:
    project = trained("bank")
    shutil.copy(project.film, "renamed.mp4")
    model = load_model(project.folder, device="cpu")
    films = [FilmSource("renamed", Path("renamed.mp4"))]
    (plan,) = plan_films(films, model, UserChoice())
    assert isinstance(plan.persons, TableOfBoxes)
    assert plan.timeline == project.timeline
    assert len(plan.persons.times("renamed")) == 19
    assert plan.told == "the project's"
    Path("renamed.mp4").write_bytes(b"another film")
    assert project_films(films, model) == {}


@pytest.mark.parametrize(
    ("own", "films", "words"),
    [(1, 1, "1 film is"), (3, 3, "3 films are"), (1, 2, "1 of 2 films are"), (2, 3, "2 of 3 films are")],
)
def test_what_is_said_of_films_of_the_project(own: int, films: int, words: str) -> None:
    assert _own_told(own, films) == f"{words} the project's own: boxes and times are taken from the project"


def test_other_films_are_searched(trained: Train, elsewhere: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    Path("new.mp4").write_bytes(b"a film")
    films = [FilmSource(FILM, project.film), FilmSource("new", Path("new.mp4"))]
    searched = plan_films(films, model, UserChoice(detector="motion", first_timestamp=900))
    assert [type(plan.persons) for plan in searched] == [FrameDetector, FrameDetector]
    assert [plan.film.video_id for plan in searched] == ["new", FILM]
    assert {plan.timeline.first_timestamp for plan in searched} == {900}
    assert searched[0].persons is searched[1].persons, "it is loaded once"


def test_boxes_come_with_the_times_that_are_given(trained: Train) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    films = [FilmSource(FILM, project.film)]
    (plan,) = plan_films(films, model, UserChoice(boxes=project.proposals, times=project.times))
    assert (plan.timeline.first_timestamp, plan.timeline.offset_seconds) == (900, 0.5)
    assert plan.told == "proposals"
    assert isinstance(plan.persons, TableOfBoxes)
    assert plan.persons.boxes(FILM, plan.persons.times(FILM))["time_seconds"].to_pylist()[0] == 0.5


def test_what_does_not_fit_is_refused(trained: Train, tmp_path: Path) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    films = [FilmSource("new", tmp_path / "new.mp4")]

    def refused(**chosen) -> str:
        with pytest.raises(InputError) as error:
            plan_films(films, model, UserChoice(**chosen))
        return str(error.value)

    boxes = project.proposals
    assert refused(boxes=boxes, detector="motion") == "--boxes and --detector: expected one of them"
    assert refused(objects=boxes) == "--objects: expected beside --boxes; a detector finds its own"
    absent = f"{project.times}: has no row of film 'new', expected one of the film"
    assert refused(boxes=boxes, times=project.times) == absent

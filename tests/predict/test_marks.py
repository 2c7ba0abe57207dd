from dataclasses import replace

import numpy as np
import pytest

from pipeline.annotations.frame_times import Clock
from pipeline.base.errors import InputError
from pipeline.predict.marks import MarkedFilm, classes_of, constant_clock, first_timestamp, marked_films
from pipeline.predict.predicted import Predicted
from pipeline.predict.scored_seconds import scored_seconds, threshold_array
from tests.predict.made import LABELS, Person, predicted

CLOCKS = {"a": Clock(25.0), "b": Clock(25.0)}


def films(found: Predicted, *exclusive: str) -> list[MarkedFilm]:
    classes = classes_of(found.labels, exclusive)
    return marked_films(scored_seconds(found), threshold_array(found), classes, found.videos.to_pylist(), CLOCKS)


def actions(scores: dict[int, float], *exclusive: str) -> tuple[int, ...]:
    ((mark,),) = (film.marks for film in films(predicted(Person(0.5, 1, scores)), *exclusive))
    return mark.actions


def test_actions_whose_score_reaches_the_threshold_are_shown() -> None:
    assert actions({1: 0.5, 2: 0.24, 4: 0.81}) == (1, 4)
    assert actions({1: 0.49}) == actions({}) == ()


def test_of_an_exclusive_group_the_one_that_exceeds_its_threshold_most_is_shown() -> None:
    assert actions({1: 0.6, 2: 0.5, 4: 0.9}, "hands") == (1, 2)
    assert actions({1: 0.6, 2: 0.26, 4: 0.9}, "hands") == (1, 4)
    assert actions({2: 0.25, 4: 0.8}, "hands") == (2,)  # equal: the first
    assert actions({1: 0.6}, "hands", "pose") == (1,)


def test_a_group_that_no_class_has_is_refused() -> None:
    with pytest.raises(InputError) as error:
        classes_of(LABELS, ["feet"])
    assert str(error.value) == "--exclusive feet: expected a group of the classes: pose, hands"
    assert [label.id for label in classes_of(LABELS, ["hands"]).any_of] == [1]


def test_films_with_their_files_and_persons() -> None:
    found = predicted(Person(0.5, None), Person(1.5, 3), Person(1.5, None, film="b"))
    one, other = films(found)
    assert (one.video_id, one.file, one.frames, one.size) == ("a", "a.mp4", 250, (100, 200))
    assert [mark.person for mark in one.marks] == [4, 3]
    assert [mark.person for mark in other.marks] == [0]


@pytest.mark.parametrize(
    ("video_id", "path", "file"),
    [("a", "x/a.webm", "a.webm"), ("a.b", "x/a.b.mp4", "a.b.mp4"), ("a.b", "pictures/a.b", "a.b.mp4"), ("a", "a", "a")],
)
def test_readers_find_the_film_by_the_name_of_its_file(video_id: str, path: str, file: str) -> None:
    found = predicted(Person(0.5))
    row = found.videos.to_pylist()[0] | {"video_id": video_id, "path": path}
    seconds = scored_seconds(predicted(Person(0.5, film=video_id)))
    (film,) = marked_films(seconds, np.ones(3), classes_of(LABELS, []), [row], {video_id: Clock(25.0)})
    assert film.file == file


def test_a_second_of_an_unknown_film_is_refused() -> None:
    with pytest.raises(InputError, match=r"^persons.parquet: video a: videos.parquet does not have it$"):
        marked_films(scored_seconds(predicted(Person(0.5))), np.ones(3), classes_of(LABELS, []), [], {})


@pytest.mark.parametrize(
    ("timestamp", "time", "expected"),
    [
        (0.0, 0.5, (0, 0.5)),
        (902.0, 2.0, (900, 0.0)),
        (902.0, 2.5, (900, 0.5)),
        (1.5, 1.5, (0, 0.0)),
        (1, 0.5, (1, 0.5)),
    ],
)
def test_where_a_film_begins(timestamp: float, time: float, expected: tuple[int, float]) -> None:
    (film,) = films(predicted(Person(0.5)))
    (mark,) = film.marks
    moved = [type(mark)(timestamp + n, time + n, mark.box, 0, ()) for n in range(3)]
    found = first_timestamp(replace(film, marks=moved))
    assert found == expected
    assert timestamp - found[0] + found[1] == time


def test_timestamps_that_run_otherwise_than_times_are_refused() -> None:
    (film,) = films(predicted(Person(0.5), Person(1.7)))
    with pytest.raises(InputError) as error:
        first_timestamp(film)
    assert str(error.value) == (
        "persons.parquet: video a: timestamps and times differ by -0.7 to -0.5 s, expected the same in the whole film"
    )


def test_a_rate_has_the_digits_of_videos_csv() -> None:
    assert constant_clock(30000 / 1001).fps == 29.97003

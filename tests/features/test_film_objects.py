import numpy as np
import pyarrow as pa

from pipeline.features.film_objects import best_rows, with_objects
from pipeline.features.requests import FilmBoxes
from pipeline.tables.schemas import BOXES

FILM = FilmBoxes("a", 0.0, 3.0, np.arange(3.0), np.empty(0), np.empty((0, 4)), np.empty(0), None, None)


def table(*rows: tuple[str, float, float, str | None]) -> pa.Table:
    """Rows (film, timestamp, score, label); the score is the left edge too."""
    names = BOXES.names
    values = [(film, at, at, score, 0.0, 1.0, 1.0, score, "made", label, None) for film, at, score, label in rows]
    return pa.Table.from_pylist([dict(zip(names, each, strict=True)) for each in values], BOXES)


def test_the_best_of_each_second_that_was_searched() -> None:
    boxes = table(
        ("a", 0, 0.5, "cup"), ("a", 0, 0.7, "tv"), ("a", 0, 0.6, "cup"), ("a", 0, 0.9, None), ("a", 2, 0.1, "cup"),
        ("a", 2.5, 0.8, "cup"), ("b", 1, 0.8, "cup"),
    )  # fmt: skip
    first, second = with_objects([FILM, FilmBoxes(**{**vars(FILM), "video_id": "c"})], boxes, 2)
    assert first.objects is not None
    assert first.objects[:, [0, 5]].tolist() == [[0, 0.7], [0, 0.6], [2, 0.1]]
    assert first.objects[:, 1].tolist() == [0.7, 0.6, 0.1]
    assert second.objects is not None
    assert second.objects.shape == (0, 6)


def test_equal_scores_go_by_the_box() -> None:
    rows = np.array([[1, 0.3, 0, 1, 1, 0.5], [1, 0.1, 0, 1, 1, 0.5], [1, 0.2, 0, 1, 1, 0.5]])
    assert best_rows(rows, np.array([1.0]), 2)[:, 1].tolist() == [0.1, 0.2]


def test_without_objects_films_stay_as_they_are() -> None:
    assert with_objects([FILM], table(("a", 0, 0.9, None)), 5) == [FILM]
    assert with_objects([FILM], table(("a", 0, 0.9, "cup")), 0) == [FILM]

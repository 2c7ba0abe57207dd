"""What a page gets to show."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.page.film_data import MISSED, Extras, film_url, page_data
from tests.predict.page.made_up import EVIL, NAME, made_up, made_up_truth


def test_persons_second_by_second(tmp_path: Path) -> None:
    data = page_data(made_up(tmp_path), tmp_path / "page.html", Extras())
    assert data["labels"][1] == {"id": 2, "name": EVIL, "group": "<i>pose", "threshold": 0.5}
    assert data["every"] == 1.0
    (film,) = data["films"]
    assert film["id"] == NAME
    assert film["why"] is None
    assert [second["t"] for second in film["seconds"]] == [0.5, 1.5, 2.5, 3.5]
    first, last = film["seconds"][0]["p"], film["seconds"][3]["p"]
    assert first == [
        {"k": 3, "b": [0.1, 0.2, 0.3, 0.9], "a": [[0, 0.8], [2, 0.2]]},  # 0.01 is below what a page shows
        {"k": 7, "b": [0.6, 0.2, 0.9, 0.9], "a": [[1, 0.7], [2, 0.3], [0, 0.1]]},
    ]
    assert last == [{"k": 3, "b": [0.25, 0.2, 0.45, 0.9], "a": [[0, 0.8], [2, 0.6]]}]


def test_a_class_that_is_shown_from_a_low_score_on_keeps_its_scores(tmp_path: Path) -> None:
    low = replace(made_up(tmp_path), model={"thresholds": {"2": 0.01}})
    data = page_data(low, tmp_path / "page.html", Extras())
    assert [each["threshold"] for each in data["labels"]] == [0.5, 0.01, 0.5]
    assert data["films"][0]["seconds"][0]["p"][0]["a"][-1] == [1, 0.01]


def test_ground_truth_beside_detections(tmp_path: Path) -> None:
    film = page_data(made_up(tmp_path), tmp_path / "page.html", Extras(truth=made_up_truth()))["films"][0]
    truth = [[(person["k"], person.get("g")) for person in second["p"]] for second in film["seconds"]]
    assert truth == [
        [(3, [0]), (7, [])],
        [(3, [0]), (7, [])],
        [(3, None)],  # excluded: nothing is known
        [(3, [2]), (MISSED, [2])],
    ]


def test_other_classes_are_refused(tmp_path: Path) -> None:
    message = "^the ground truth calls class 1 'sit' and the model 'stand', expected the same classes$"
    with pytest.raises(InputError, match=message):
        page_data(made_up(tmp_path), tmp_path / "page.html", Extras(truth=made_up_truth(name_of_one="sit")))


def test_no_film_is_refused(tmp_path: Path) -> None:
    found = made_up(tmp_path)
    none = replace(found, videos=found.videos.slice(0, 0))
    with pytest.raises(InputError, match=r"^there is no film to show, expected at least one in videos\.parquet$"):
        page_data(none, tmp_path / "page.html", Extras())


def test_a_film_is_found_from_where_the_page_is(tmp_path: Path) -> None:
    assert film_url(tmp_path / "films/a.mp4", tmp_path / "out/page.html") == "../films/a.mp4"
    assert (
        film_url(tmp_path / 'javascript:a?b#c "d".mp4', tmp_path / "p.html") == "javascript%3Aa%3Fb%23c%20%22d%22.mp4"
    )

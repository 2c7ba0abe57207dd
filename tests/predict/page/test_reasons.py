"""What a page gets to show of attention."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.page import reasons as module
from pipeline.predict.page.film_data import Extras, page_data
from pipeline.predict.page.reasons import SHOWN_ROWS, film_reasons
from pipeline.predict.seen_places import KINDS
from tests.predict.page.made_up import made_up, made_up_attention

BOX = {"x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.9}


def attention(time: float, weights: list[float]) -> pa.Table:
    """A person looks at as many rows of one place, one second after the other."""
    key = {"video_id": "v", "timestamp": time, "time_seconds": time, **BOX, "block": "M", "layer": 1}
    seen = {f"seen_{name}": edge for name, edge in BOX.items()}
    rows = [
        {**key, "seen": "row", "seen_time_seconds": float(place), **seen, "seen_score": 0.9, "weight": weight}
        for place, weight in enumerate(weights)
    ]
    return pa.Table.from_pylist(rows, ATTENTION)


def test_what_was_looked_at(tmp_path: Path) -> None:
    film = page_data(made_up(tmp_path), tmp_path / "page.html", Extras(attention=made_up_attention()))["films"][0]
    assert [person.get("w") for second in film["seconds"] for person in second["p"]] == [None] * 4 + [0, None]
    row, empty, thing = [1, 1.5, 7, 600, 200, 900, 900], [0, None, -1], [3, 2.5, -1, 600, 200, 900, 900]
    assert KINDS[[0, 1, 3]].tolist() == ["empty", "row", "object"]
    assert film["why"] == [
        {
            "layers": [["M", 1], ["O", 1]],
            "seen": [row, empty, thing],
            "persons": [[[0, 0, 700, 1, 300], [1, 2, 1000]]],
        }
    ]


def test_the_largest_weights_are_kept_and_none_that_would_be_zero() -> None:
    seconds = {float(time): [{"k": 4, "b": list(BOX.values())}] for time in (20, 21)}
    falling = [0.3 - 0.02 * place for place in range(12)]
    found = film_reasons(seconds, pa.concat_tables([attention(20.0, falling), attention(21.0, [0.9996, 0.0004])]))
    ((most,), (one,)) = found[0]["persons"]
    assert len(most) == 1 + 2 * SHOWN_ROWS
    assert most[2::2] == [300, 280, 260, 240, 220, 200, 180, 160]
    assert one == [0, 0, 1000]
    assert [persons[0]["w"] for persons in seconds.values()] == [0, 1]


def test_a_long_film_has_parts_and_each_names_a_thing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERSONS", 2)
    times = [20.0, 21.0, 22.0]
    seconds = {time: [{"k": -1, "b": list(BOX.values())}] for time in times}
    found = film_reasons(seconds, pa.concat_tables([attention(time, [0.6, 0.4]) for time in times]))
    assert [len(part["persons"]) for part in found] == [2, 1]
    assert [[each[1] for each in part["seen"]] for part in found] == [[0.0, 1.0]] * 2
    assert found[1]["persons"] == [[[0, 0, 600, 1, 400]]]
    assert [persons[0]["w"] for persons in seconds.values()] == [0, 1, 2]

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.requests import choose_boxes, films_of_split
from pipeline.tables.schemas import ANNOTATIONS, BOXES, KEYFRAMES, TIMELINES, VIDEOS
from pipeline.tables.select_boxes import BoxRule

BOX = {"x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.9}


def rows(schema: pa.Schema, *values: dict) -> pa.Table:
    blank = {"person_id": None, "label": None, "source": "csv", "path": "a.mp4", "sha256": "0", "fps": 15.0}
    blank |= {"frames": 45, "grid_frames": 45, "width": 160, "height": 120, "time_seconds": 0.0, **BOX}
    return pa.Table.from_pylist(
        [{k: v for k, v in (blank | each).items() if k in schema.names} for each in values], schema
    )


TABLES: dict[str, Any] = {
    "timelines": rows(
        TIMELINES,
        {"video_id": "b", "split": "train", "first_timestamp": 900.0, "offset_seconds": 0.5},
        {"video_id": "a", "split": "train", "first_timestamp": 0.0, "offset_seconds": 0.0},
        {"video_id": "c", "split": "val", "first_timestamp": 0.0, "offset_seconds": 0.0},
        {"video_id": "gone", "split": "train", "first_timestamp": 0.0, "offset_seconds": 0.0},
    ),
    "videos": rows(VIDEOS, *({"video_id": each, "duration_seconds": 3.0} for each in "abc")),
    "boxes": rows(
        BOXES,
        {"video_id": "b", "timestamp": 901.0, "score": 0.95},
        {"video_id": "b", "timestamp": 901.0, "score": 0.5, "x2": 0.6},
        {"video_id": "b", "timestamp": 902.0, "score": 0.4},
        {"video_id": "b", "timestamp": 902.0, "score": 0.99, "label": "ball"},
    ),
    "annotations": rows(
        ANNOTATIONS,
        {"video_id": "b", "timestamp": 901.0, "action_id": 1},
        {"video_id": "b", "timestamp": 901.0, "action_id": 2},
    ),
    "keyframes": rows(KEYFRAMES, {"video_id": "b", "timestamp": 901.0, "split": "train", "status": "annotated"}),
}
SETTINGS: dict[str, Any] = {"rule": BoxRule(0.9), "seconds": "grid"}


def test_every_second_of_a_film_is_looked_at_whatever_is_annotated() -> None:
    a, b = films_of_split("train", **TABLES, **SETTINGS)
    assert (a.video_id, b.video_id) == ("a", "b")
    assert a.seconds_seen.tolist() == [0, 1, 2]
    assert b.seconds_seen.tolist() == [900, 901, 902]
    assert (b.seconds_seen + b.shift_seconds).tolist() == [0.5, 1.5, 2.5]
    assert b.detected_score.tolist() == [0.95]
    assert b.annotated_xyxy is not None
    assert b.annotated_xyxy.tolist() == [list(BOX.values())], "two labels of one box are one row"


def test_annotated_seconds_are_an_option_and_a_split_without_annotations_has_no_truth() -> None:
    _, b = films_of_split("train", **TABLES, **{**SETTINGS, "seconds": "annotated"})
    assert b.seconds_seen.tolist() == [901]
    (c,) = films_of_split("val", **TABLES, **SETTINGS)
    assert c.annotated_timestamp is None
    assert c.annotated_xyxy is None


def test_annotations_change_no_detected_row() -> None:
    none = {**TABLES, "annotations": TABLES["annotations"].slice(0, 0), "keyframes": TABLES["keyframes"].slice(0, 0)}
    for with_truth, without in zip(
        films_of_split("train", **TABLES, **SETTINGS), films_of_split("train", **none, **SETTINGS), strict=True
    ):
        for name in ("seconds_seen", "detected_timestamp", "detected_xyxy", "detected_score"):
            assert np.array_equal(getattr(with_truth, name), getattr(without, name))


def test_upstreams_habits_are_options() -> None:
    _, b = films_of_split("train", **TABLES, **{**SETTINGS, "rule": BoxRule(0.9, lower=True)})
    assert list(zip(b.detected_timestamp, b.detected_score, strict=True)) == [(901, 0.95), (902, 0.4)]
    _, b = films_of_split("train", **TABLES, **{**SETTINGS, "rule": BoxRule(0.9, full_frame=True)})
    assert list(zip(b.detected_timestamp, b.detected_score, strict=True)) == [(900, 1.0), (901, 0.95)]
    assert b.detected_xyxy[0].tolist() == [0, 0, 1, 1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1, width=16)), max_size=20),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
)
def test_boxes_are_chosen_as_a_plain_loop_does(
    found: list[tuple[int, float]], threshold: float, lower: bool, full: bool
) -> None:
    table = np.array([[at, 0.1, 0.1, 0.2, 0.2, score] for at, score in found]).reshape(-1, 6)
    seen = np.arange(3.0)
    kept = choose_boxes(table, seen, BoxRule(threshold, lower, full))
    expected = []
    for second in range(3):
        scores = sorted((score for at, score in found if at == second), reverse=True)
        least = min(threshold, scores[0]) if lower and scores else threshold
        expected += [(second, score) for score in scores if score >= least]
        expected += [(second, 1.0)] if full and not scores else []
    assert [(row[0], row[5]) for row in kept] == expected


@pytest.mark.parametrize(
    ("offset", "duration", "labels"),
    [(0.5, 2.4, [900, 901]), (0.5, 2.6, [900, 901, 902]), (-1.0, 2.0, [901, 902]), (1.25, 2.0, [899, 900])],
)
def test_the_grid_ends_with_the_film(offset: float, duration: float, labels: list[int]) -> None:
    timeline = {"video_id": "a", "split": "train", "first_timestamp": 900.0, "offset_seconds": offset}
    tables = {**TABLES, "timelines": rows(TIMELINES, timeline)}
    tables["videos"] = rows(VIDEOS, {"video_id": "a", "duration_seconds": duration})
    (film,) = films_of_split("train", **tables, **SETTINGS)
    assert film.seconds_seen.tolist() == labels


@pytest.mark.parametrize("seconds", ["grid", "annotated"])
def test_what_lies_beyond_the_end_of_a_film_is_left_out_and_said(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {**TABLES, "videos": rows(VIDEOS, *({"video_id": each, "duration_seconds": 1.5} for each in "abc"))}
    annotated = [{"video_id": "b", "timestamp": at, "action_id": 1} for at in (900.0, 901.0, 904.0)]
    tables["annotations"] = rows(ANNOTATIONS, *annotated)
    tables["keyframes"] = rows(KEYFRAMES, *({**each, "split": "train", "status": "annotated"} for each in annotated))
    # Of film b, 1.5 s long, second 901 would be at 1.5 s: its last frame is over then.
    _, b = films_of_split("train", **tables, **{**SETTINGS, "rule": BoxRule(0.1), "seconds": seconds})
    assert b.duration_seconds == 1.5
    assert b.seconds_seen.tolist() == [900]
    assert b.detected_timestamp.tolist() == []
    assert b.annotated_timestamp is not None
    assert b.annotated_timestamp.tolist() == [900]
    late = 3 if seconds == "grid" else 2  # the boxes of 902 are looked at on the grid alone
    assert capsys.readouterr().err == (
        f"{late} timestamps of train in 1 films lie beyond the film's end and are left out; the first: b at 901, "
        "1.5 s into a film of 1.5 s\n"
    )

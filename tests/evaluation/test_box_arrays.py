import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.evaluation.ava_map import evaluate
from pipeline.evaluation.box_arrays import number_frames, scored_rows
from tests.evaluation.test_ava_map import BOX, boxes


def test_missing_person_ids_read_as_one():
    """As rows of seven columns do: the box without an id stands behind person 2 and before person 0."""
    left, right, middle = (0.25, 0.25, 0.5, 0.75), (0.375, 0.25, 0.625, 0.75), (0.3125, 0.25, 0.5625, 0.75)
    found = boxes([("a", 902, *middle, 1, 0.9), ("a", 902, *left, 1, 0.8)], "score")
    for other, ap in ((2, 0.5), (0, 1.0)):
        truth = boxes([("a", 902, *left, 1, other), ("a", 902, *right, 1, None)], "person_id")
        assert evaluate(truth, found, class_ids=[1]).map == ap


@given(
    parts=st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 1.0, 902.25])), max_size=5),
        min_size=1, max_size=3,
    ),
    is_cut=st.booleans(),
)  # fmt: skip
def test_frames_of_all_tables_are_numbered_alike_by_video_and_time(parts: list[list[tuple]], is_cut: bool) -> None:
    def table(rows: list[tuple]) -> pa.Table:
        videos, times = (
            pa.array([row[0] for row in rows], pa.string()),
            pa.array([row[1] for row in rows], pa.float64()),
        )
        whole = pa.table({"video_id": videos, "timestamp": times})
        return pa.concat_tables([whole.slice(at, 1) for at in range(len(rows))] or [whole]) if is_cut else whole

    frames, numbered = number_frames([table(rows) for rows in parts])
    names = sorted({row for rows in parts for row in rows})
    assert len(frames.video) == len(names)
    for rows, numbers in zip(parts, numbered, strict=True):
        assert [names[number] for number in numbers] == rows
    assert [frames.name(place) for place in range(len(names))] == [f"{video},{time:g}" for video, time in names]


def test_corners_are_those_of_the_table_however_it_is_cut() -> None:
    table = boxes([("a", at, at / 8, 0.1, 0.9, 0.5, 3 if at % 2 else 9, 0.5) for at in range(8)], "score")
    frame = np.arange(8, dtype=np.int32)
    for given_table in (table, pa.concat_tables([table.slice(0, 3), table.slice(3, 1), table.slice(4)])):
        rows = scored_rows(given_table, frame, class_ids=np.array([3]), value="score")
        assert rows.row.tolist() == [1, 3, 5, 7]
        assert rows.corners(np.array([3, 0, 2, 0]))[0].tolist() == [7 / 8, 1 / 8, 5 / 8, 1 / 8]


def test_a_score_that_is_no_number_is_refused_with_its_row() -> None:
    table = boxes([("a", 902, *BOX, 9, 0.5), ("a", 902, *BOX, 9, math.nan)], "score")
    with pytest.raises(InputError, match=r"^detections: row 2: score is not a number$"):
        scored_rows(table, np.zeros(2, np.int32), class_ids=np.array([3]), value="score")

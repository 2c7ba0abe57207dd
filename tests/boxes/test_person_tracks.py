from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.boxes.person_tracks import LEAST_IOU, PATIENCE_SECONDS, track_ids, with_tracks
from pipeline.tables.iou import box_iou
from pipeline.tables.schemas import BOXES

LEFT, RIGHT = (0.1, 0.1, 0.3, 0.9), (0.6, 0.1, 0.8, 0.9)


def tracks(*rows: tuple):
    """Rows (film, seconds, box, score)."""
    video, time, boxes, score = zip(*rows, strict=True)
    return track_ids(np.array(video), np.array(time), np.array(boxes), np.array(score)).tolist()


def moved(box: tuple[float, ...], by: float) -> tuple[float, ...]:
    return (box[0] + by, box[1], box[2] + by, box[3])


def test_persons_keep_their_ids_in_whatever_order_they_come() -> None:
    assert tracks(
        (0, 0, LEFT, 0.9), (0, 0, RIGHT, 0.8),
        (0, 1, moved(RIGHT, 0.05), 0.9), (0, 1, moved(LEFT, 0.05), 0.8),
        (0, 2, moved(LEFT, 0.1), 0.9),
    ) == [0, 1, 1, 0, 0]  # fmt: skip


def test_a_second_may_be_missing_and_no_more() -> None:
    assert tracks((0, 0, LEFT, 0.9), (0, 2, LEFT, 0.9), (0, 5, LEFT, 0.9)) == [0, 0, 1]


def test_ids_begin_anew_in_every_film() -> None:
    assert tracks((0, 0, LEFT, 0.9), (0, 0, RIGHT, 0.9), (3, 1, RIGHT, 0.9)) == [0, 1, 0]


def test_an_unsure_box_carries_a_track_on_and_begins_none() -> None:
    assert tracks((0, 0, LEFT, 0.4), (0, 1, LEFT, 0.9), (0, 2, LEFT, 0.4), (0, 3, LEFT, 0.9)) == [-1, 0, 0, 0]


def test_the_sum_of_overlaps_decides_and_not_the_first_best() -> None:
    """One box overlaps both tracks, and the other only the one that the first overlaps most."""
    first, second = (0.0, 0.0, 0.5, 1.0), (0.3, 0.0, 0.8, 1.0)
    assert tracks((0, 0, first, 0.9), (0, 0, second, 0.9), (0, 1, (0.1, 0, 0.6, 1), 0.9), (0, 1, first, 0.8)) == [
        0, 1, 1, 0
    ]  # fmt: skip


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.floats(0, 0.8), st.sampled_from([0.3, 0.5, 0.9])), max_size=25
)


@given(rows=ROWS)
def test_every_track_is_a_chain_of_overlapping_boxes(rows: list[tuple]) -> None:
    rows = sorted(rows)
    video, time = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64)
    boxes = np.array([(row[2], 0.2, row[2] + 0.2, 0.8) for row in rows]).reshape(-1, 4)
    score = np.array([row[3] for row in rows])
    found = track_ids(video, time, boxes, score)
    for film in set(video.tolist()):
        ids = found[(video == film) & (found >= 0)]
        assert set(ids.tolist()) == set(range(len(set(ids.tolist()))))
        for track in set(ids.tolist()):
            chain = np.flatnonzero((video == film) & (found == track))
            assert score[chain[0]] >= 0.5
            gaps = np.diff(time[chain])
            assert ((gaps > 0) & (gaps <= PATIENCE_SECONDS)).all()
            assert all(box_iou(boxes[[a]], boxes[[b]])[0, 0] >= LEAST_IOU for a, b in pairwise(chain))
    assert (found[score >= 0.5] >= 0).all()


def test_objects_are_in_no_track() -> None:
    rows = [
        ("a", float(t), float(t), 0.1, 0.1, 0.3, 0.6, 0.9, "x", label, None) for t in (1, 2) for label in (None, "tv")
    ]
    table = with_tracks(pa.table([list(column) for column in zip(*rows, strict=True)], schema=BOXES))
    assert table["track_id"].to_pylist() == [0, None, 0, None]

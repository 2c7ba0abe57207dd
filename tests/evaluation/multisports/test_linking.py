"""Suppression within a frame, and linking from frame to frame, on cases done by hand."""

import numpy as np
import pytest

from pipeline.evaluation.multisports.linking import FrameBoxes, link_tubes, suppress
from pipeline.evaluation.multisports.tubes import Tubes

A, B = (0.0, 0.0, 10.0, 10.0), (100.0, 0.0, 110.0, 10.0)


def shifted(box: tuple[float, ...], by: float) -> tuple[float, ...]:
    return box[0] + by, box[1], box[2] + by, box[3]


def frame_boxes(rows: list[tuple]) -> FrameBoxes:
    """Rows (frame, box, score) of one class in one film, or with (video, label) in front."""
    full = [row if len(row) == 5 else (0, 0, *row) for row in rows]
    video, label, frame = (np.array([row[i] for row in full], np.int64) for i in range(3))
    return FrameBoxes(
        video, label, frame, np.array([row[3] for row in full], float).reshape(-1, 4), np.array([r[4] for r in full])
    )


def linked(rows: list[tuple], min_frames: int = 1) -> list[tuple]:
    """(first frame, x1 of each box, score) of each tube."""
    return shown(link_tubes(frame_boxes(rows), min_frames=min_frames))


def shown(tubes: Tubes) -> list[tuple]:
    return [
        (
            int(tubes.first[i]),
            tubes.boxes(i, int(tubes.first[i]), int(tubes.last[i]))[:, 0].tolist(),
            round(float(tubes.score[i]), 6),
        )
        for i in range(len(tubes))
    ]


def test_a_covered_box_is_not_dropped_but_weighed_by_what_is_left_of_it() -> None:
    boxes = np.array([A, shifted(A, 1), shifted(A, 2), B])
    found, scores = suppress(boxes, np.array([0.9, 0.8, 0.7, 0.1]))
    # The first covers the second (9 of 11) and the third (8 of 12) by more than 0.6; the second, covered, covers none.
    assert found[:, 0].tolist() == [0, 2, 1, 100]
    assert scores.tolist() == pytest.approx([0.9, 0.7 * (1 - 8 / 12), 0.8 * (1 - 9 / 11), 0.1])


def test_the_pixel_that_upstream_adds_decides_at_the_limit() -> None:
    boxes = np.array([(0.0, 0, 7, 7), (2.0, 0, 9, 7)])  # 5 of 9 without, 6 of 10 with the pixel
    scores = np.array([0.5, 0.4])
    assert suppress(boxes, scores)[1].tolist() == [0.5, 0.4]
    assert suppress(boxes, scores, (1.0, 1.0))[1].tolist() == [0.5, 0.4], "0.6 is not more than 0.6"
    assert suppress(boxes, scores, (1.5, 1.0))[1].tolist() == pytest.approx([0.5, 0.4 * (1 - 6.5 / 10.5)])


def test_ten_boxes_of_a_frame_are_kept_and_of_equal_scores_the_last_comes_first() -> None:
    boxes = np.array([shifted(A, 20 * i) for i in range(12)])
    found, _ = suppress(boxes, np.array([0.5] * 11 + [0.9]))
    assert found[:, 0].tolist() == [220, *range(200, 20, -20)]


def test_a_tube_follows_a_box_and_its_score_is_the_mean() -> None:
    assert linked([(3, A, 0.5), (4, shifted(A, 2), 0.7), (5, shifted(A, 4), 0.9)]) == [(3, [0, 2, 4], 0.7)]
    assert linked([]) == []


def test_an_overlap_of_one_half_links_and_less_breaks() -> None:
    # Boxes of 12 x 10 that share 8 of 16 columns.
    wide = (0.0, 0.0, 12.0, 10.0)
    assert linked([(0, wide, 0.5), (1, shifted(wide, 4), 0.5)]) == [(0, [0, 4], 0.5)]
    assert linked([(0, wide, 0.5), (1, shifted(wide, 4.01), 0.25)]) == [(0, [0], 0.5), (1, [4.01], 0.25)]


def test_a_frame_without_the_box_ends_the_tube() -> None:
    assert linked([(0, A, 0.5), (1, A, 0.5), (3, A, 0.25), (4, A, 0.25)]) == [(0, [0, 0], 0.5), (3, [0, 0], 0.25)]
    # So does a frame that shows other boxes only.
    assert linked([(0, A, 0.5), (1, B, 0.75), (2, A, 0.25)]) == [(0, [0], 0.5), (1, [100], 0.75), (2, [0], 0.25)]


def test_the_best_tube_chooses_first_and_takes_the_best_scored_box_not_the_nearest() -> None:
    strong, weak = [(0, A, 0.9)], [(0, shifted(A, 4), 0.3)]
    tubes = linked([*weak, *strong, (1, shifted(A, 3), 0.8), (1, shifted(A, -3), 0.1)])
    # The strong one takes x1 = 3, which is nearer to the weak one; for that one -3 is too far.
    assert sorted(tubes) == [(0, [0, 3], 0.85), (0, [4], 0.3), (1, [-3], 0.1)]


def test_short_tubes_and_those_of_next_to_no_score_are_dropped() -> None:
    long = [(i, A, 0.5) for i in range(15)]
    assert [tube[0] for tube in linked([*long, *((i, B, 0.5) for i in range(14))], min_frames=15)] == [0]
    assert len(link_tubes(frame_boxes(long))) == 1, "fifteen frames are the default"
    assert len(link_tubes(frame_boxes(long[1:]))) == 0
    assert [tube[2] for tube in linked([(0, A, 0.005), (0, B, 0.0049)])] == [0.005]


def test_classes_and_films_are_linked_apart_and_come_in_order() -> None:
    rows = [(1, 1, 0, A, 0.1), (1, 0, 0, A, 0.2), (0, 1, 0, A, 0.3), (0, 1, 1, A, 0.3), (0, 0, 1, A, 0.4)]
    tubes = link_tubes(frame_boxes(rows), min_frames=1)
    found = zip(tubes.label.tolist(), tubes.video.tolist(), shown(tubes), strict=True)
    assert list(found) == [
        (0, 0, (1, [0], 0.4)),
        (0, 1, (0, [0], 0.2)),
        (1, 0, (0, [0, 0], 0.3)),
        (1, 1, (0, [0], 0.1)),
    ]


def test_each_film_has_its_own_pixel() -> None:
    cover = [(0, (0.0, 0, 7, 7), 0.5), (0, (2.0, 0, 9, 7), 0.4)]
    rows = [(video, 0, *row) for video in (0, 1) for row in cover]
    tubes = link_tubes(frame_boxes(rows), pixels=np.array([[0.0, 0.0], [2.0, 2.0]]), min_frames=1)
    assert tubes.score[tubes.video == 0].min() == 0.4
    assert tubes.score[tubes.video == 1].min() == pytest.approx(0.4 * (1 - 7 / 11))

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import number_frames, scored_rows
from pipeline.evaluation.multisports.tubes import Tubes, frame_numbers, pixel_box_iou, truth_tubes
from tests.evaluation.multisports.tables import annotations, keyframes

BOX, OTHER = (0.1, 0.1, 0.5, 0.9), (0.2, 0.1, 0.6, 0.9)


def numbers(rows: list[tuple[str, float]], step: float = 1.0) -> list[int]:
    frames, _ = number_frames([keyframes([(*row, "annotated") for row in rows], step)])
    return [int(each) for each in frame_numbers(frames)]


def tubes_of(rows: list[tuple], classes: tuple[int, ...] = (1, 2)) -> Tubes:
    table = annotations(rows)
    frames, (frame,) = number_frames([table])
    rows_of = scored_rows(table, frame, class_ids=np.array(classes), value="person_id")
    return truth_tubes(rows_of, frames, frame_numbers(frames))


@pytest.mark.parametrize("step", [1.0, 2.0, 0.04, 1 / 30, 1001 / 30000, 0.1])
def test_frames_are_counted_by_the_shortest_step(step: float) -> None:
    assert numbers([("a", 0), ("a", 1), ("a", 4), ("b", 900), ("b", 901), ("b", 5901)], step) == [0, 1, 4, 0, 1, 5001]


def test_films_without_two_frames_have_one_number() -> None:
    assert numbers([("a", 5), ("b", 900)]) == [0, 0]
    assert numbers([]) == []


def test_frames_without_a_common_step_are_refused() -> None:
    with pytest.raises(InputError) as error:
        numbers([("a", 1), ("a", 2), ("b", 1), ("b", 2.5)])
    assert str(error.value) == (
        "b,2.5: found 1.5 after the keyframe before it, expected a multiple of 1, the shortest such distance: "
        "frames of tubes have one step"
    )


def test_overlap_is_that_of_shares_and_of_pixels_alike() -> None:
    a, b = np.array([0.0, 0, 8, 8]), np.array([4.0, 0, 12, 8])
    assert pixel_box_iou(a, b) == 1 / 3
    assert pixel_box_iou(a / 64, b / 64) == 1 / 3
    assert pixel_box_iou(a, b, (1.0, 1.0)) == 45 / 117
    assert pixel_box_iou(a / 64, b / 64, (1 / 64, 1 / 64)) == 45 / 117
    assert np.isnan(pixel_box_iou(np.zeros(4), np.zeros(4)))
    assert pixel_box_iou(a, b + 100) == 0
    assert pixel_box_iou(np.stack([a, b])[:, None], np.stack([a, b])[None]).tolist() == [[1, 1 / 3], [1 / 3, 1]]


def test_a_tube_is_an_unbroken_run_of_a_person_with_an_action() -> None:
    rows = [("a", at, 1, BOX, 7) for at in (1, 2, 3, 5, 6)]
    rows += [("a", 2, 1, OTHER, 8), ("a", 2, 2, BOX, 7), ("b", 4, 1, BOX, 7), ("a", 9, 3, BOX, 7)]
    tubes = tubes_of(rows[::-1])
    found = zip(tubes.video, tubes.label, tubes.first, tubes.last, strict=True)
    # Frames count from the first that is named in a film; class 3 is not scored.
    assert [tuple(map(int, each)) for each in found] == [
        (0, 0, 0, 2),
        (0, 0, 4, 5),
        (0, 0, 1, 1),
        (0, 1, 1, 1),
        (1, 0, 0, 0),
    ]
    assert tubes.boxes(2, 1, 1).tolist() == [list(OTHER)]
    assert tubes.boxes(0, 1, 2).tolist() == [list(BOX)] * 2
    assert len(tubes_of([])) == 0


def test_two_boxes_of_a_person_and_class_in_a_frame_are_refused() -> None:
    with pytest.raises(InputError) as error:
        tubes_of([("a", 2, 1, BOX, 7), ("a", 1, 1, BOX, 7), ("a", 2, 1, OTHER, 7)])
    assert str(error.value) == (
        "annotations: a,2: found two boxes of person 7 with action 1, expected one box of a tube in a frame"
    )


def test_a_box_without_a_person_is_refused_if_its_class_counts() -> None:
    assert len(tubes_of([("a", 1, 1, BOX, 7), ("a", 2, 3, BOX, None)])) == 1
    with pytest.raises(InputError) as error:
        tubes_of([("a", 1, 1, BOX, 7), ("a", 2, 1, BOX, None)])
    assert str(error.value) == ("annotations: a,2: found a box without a person id, expected the number of its tube")

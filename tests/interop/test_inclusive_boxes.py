import numpy as np

from pipeline.interop.inclusive_boxes import clipped, flipped, resized, to_xywh

BOXES = np.array([[4.0, 3.5, 40.25, 60], [-5, 10, 99, 80], [50, 50, 50, 60]])


def test_a_flip_maps_the_first_pixel_to_the_last_and_is_its_own_inverse() -> None:
    assert flipped(np.array([[0.0, 2, 9, 5]]), 96).tolist() == [[86, 2, 95, 5]]
    assert np.array_equal(flipped(flipped(BOXES, 96), 96), BOXES)


def test_boxes_are_cut_at_the_last_pixel_and_those_without_area_left_out() -> None:
    assert clipped(BOXES, 96, 64).tolist() == [[4, 3.5, 40.25, 60], [0, 10, 95, 63]]
    assert clipped(np.array([[100.0, 0, 120, 9]]), 96, 64).shape == (0, 4)


def test_sizes_count_both_border_pixels() -> None:
    assert to_xywh(BOXES).tolist() == [[4, 3.5, 37.25, 57.5], [-5, 10, 105, 71], [50, 50, 1, 11]]


def test_boxes_scale_with_their_frame() -> None:
    assert resized(BOXES, (96, 64), (192, 100))[0].tolist() == [8, 5.46875, 80.5, 93.75]

import numpy as np

from pipeline.features.object_boxes import object_boxes

NONE = [np.nan] * 4


def test_places_without_an_area_are_empty_and_come_last() -> None:
    boxes = np.array([[[0, 0, 0, 5], [1, 1, 4, 5], NONE, [2, 2, 3, 4]], [NONE] * 4], np.float32)
    found = object_boxes(boxes)
    assert found.mask.tolist() == [[True, True, False, False], [False] * 4]
    assert found.boxes_xyxy.tolist() == [[[1, 1, 4, 5], [2, 2, 3, 4], [0] * 4, [0] * 4], [[0] * 4] * 4]

from typing import Any, cast

import numpy as np
import simplejpeg

from pipeline.analysis.keyframe_pictures import LEAST_SIDE, keyframe_picture
from pipeline.video.store import FrameStore

NOBODY = np.zeros((0, 4))


class Store:
    """Ten grey frames of 120x160; frame n has the grey 20 n."""

    fps = 5.0

    def grid_frames(self, video_id: str) -> int:
        return 10

    def read_clip(self, video_id: str, indices: Any) -> np.ndarray:
        return np.stack([np.full((120, 160, 3), 20 * index, np.uint8) for index in indices])


def picture(time_seconds: float, persons: np.ndarray = NOBODY, boxes: np.ndarray = NOBODY) -> np.ndarray:
    store = cast(FrameStore, Store())
    jpeg = keyframe_picture(store, "a", time_seconds, persons_xyxy=persons, boxes_xyxy=boxes)
    return np.asarray(simplejpeg.decode_jpeg(jpeg))


def test_the_frame_of_the_moment_is_shown_enlarged() -> None:
    shown = picture(1.0)
    assert shown.shape == (360, 480, 3)
    assert min(shown.shape[:2]) >= LEAST_SIDE
    assert abs(int(shown[200, 200, 0]) - 100) <= 2


def test_persons_are_green_and_boxes_of_the_detector_orange() -> None:
    box = np.array([[0.25, 0.25, 0.75, 0.75]])
    edge = (270, 240)  # the lower edge, in its middle: names stand in corners
    green, orange = picture(1.0, persons=box)[edge].astype(int), picture(1.0, boxes=box)[edge].astype(int)
    assert green[1] - max(green[0], green[2]) > 50
    assert orange[0] > orange[1] > orange[2]
    assert orange[0] - orange[2] > 100


def test_a_box_without_area_or_beyond_the_frame_is_drawn_all_the_same() -> None:
    odd = np.array([[0.5, 0.5, 0.5, 0.5], [-1.0, -1.0, 2.0, 2.0]])
    assert not np.array_equal(picture(1.0, persons=odd, boxes=odd), picture(1.0))

import pytest

from pipeline.base.errors import InputError
from pipeline.boxes.detectors import choose_detector
from pipeline.boxes.motion import detect_motion


def test_boxes_of_motion_depend_on_its_code_alone() -> None:
    """Neither weights nor a device need be there, and another floor makes no new boxes."""
    one = choose_detector("motion", weights="absent.pth", min_score=0.1, device="no such device")
    other = choose_detector("motion", weights="others.pth", min_score=0.9, device="cpu")
    assert one.settings == other.settings
    assert set(one.settings) == {"code"}
    assert one.load() is detect_motion
    assert not one.on_gpu


def test_faster_rcnn_without_its_weights_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match=r"^boxes\.weights: absent\.pth: no such file$"):
        choose_detector("fasterrcnn", weights="absent.pth", min_score=0.1, device="cpu")

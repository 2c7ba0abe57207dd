from typing import Any

import pytest

from pipeline.video.settings import ClipFrames, Frames, Views
from tests.models.test_settings import refusal

WHOLE: dict[str, Any] = {
    "fps": 30.0, "short_side": "none", "allow_smaller": False, "quality": 90, "max_bad_fraction": 0.05
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"fps": 0}, ("fps", "greater_than")),
        ({"quality": 0}, ("quality", "greater_than_equal")),
        ({"quality": 101}, ("quality", "less_than_equal")),
        ({"max_bad_fraction": 1.5}, ("max_bad_fraction", "less_than_equal")),
        ({"other": 1}, ("other", "extra_forbidden")),
    ],
)
def test_what_no_store_can_be_made_with_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert Frames.model_validate(WHOLE).short_side == "none"
    assert refusal(Frames, {**WHOLE, **change}) == found


def test_recognition_stores_every_frame() -> None:
    frames = {"fps": "source", "short_side": "none", "quality": 90, "max_bad_fraction": 0.05}
    assert ClipFrames.model_validate(frames).fps == "source"
    assert refusal(ClipFrames, {**frames, "fps": 12}) == ("fps", "literal_error")
    assert refusal(Frames, {**WHOLE, "fps": "source"}) == ("fps", "float_parsing")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"scales": []}, ("scales", "too_short")),
        ({"scales": [1, 1.1]}, ("scales.1", "less_than_equal")),
        ({"scales_apart": -1}, ("scales_apart", "greater_than_equal")),
        ({"flip": "vertical"}, ("flip", "literal_error")),
        ({"flip_probability": 2}, ("flip_probability", "less_than_equal")),
        ({"sampling": "random"}, ("sampling", "literal_error")),
    ],
)
def test_what_no_view_can_be_made_with_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    whole = {"sampling": "whole", "scales": [1, 0.75], "scales_apart": 1, "flip": "mapped", "flip_probability": 0.5}
    assert Views.model_validate(whole).scales == (1, 0.75)
    assert refusal(Views, {**whole, **change}) == found

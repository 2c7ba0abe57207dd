from typing import Any

import pytest

from pipeline.video.settings import Frames
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

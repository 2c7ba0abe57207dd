from typing import Any

import pytest

from pipeline.boxes.settings import Boxes
from tests.models.test_settings import refusal

WHOLE: dict[str, Any] = {
    "detector": "none", "weights": "w", "source": "s", "detect": [], "tracks": "iou", "person_class": 0,
    "min_score": 0.05, "max_bad_fraction": 0.05,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"detector": "yolo"}, ("detector", "literal_error")),
        ({"detect": ["none"]}, ("detect.0", "literal_error")),
        ({"person_class": -1}, ("person_class", "greater_than_equal")),
        ({"min_score": float("nan")}, ("min_score", "finite_number")),
        ({"max_bad_fraction": -0.1}, ("max_bad_fraction", "greater_than_equal")),
        ({"other": 1}, ("other", "extra_forbidden")),
    ],
)
def test_what_no_boxes_can_be_imported_with_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert Boxes.model_validate(WHOLE).min_score == 0.05
    assert refusal(Boxes, {**WHOLE, **change}) == found

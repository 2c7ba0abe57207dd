from typing import Any

import pytest

from pipeline.evaluation.settings import EvaluationSettings
from pipeline.tables.select_boxes import BoxRule
from tests.models.test_settings import refusal

WHOLE: dict[str, Any] = {
    "metric": "ava", "decode": "all", "boxes": "detected", "box_threshold": 0.8, "lower_threshold": True,
    "action_threshold": 0.0, "protocol": "official", "iou": 0.5, "more_ious": [0.75], "classes": "all", "cap": 50,
    "compute_dtype": "fp32",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"iou": 1.5}, ("iou", "less_than_equal")),
        ({"more_ious": [0.5, -0.1]}, ("more_ious.1", "greater_than_equal")),
        ({"cap": -1}, ("cap", "greater_than_equal")),
        ({"protocol": "alphaction"}, ("protocol", "literal_error")),
        ({"box_threshold": float("inf")}, ("box_threshold", "finite_number")),
        ({"other": 1}, ("other", "extra_forbidden")),
    ],
)
def test_what_nothing_can_be_scored_by_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert refusal(EvaluationSettings, {**WHOLE, **change}) == found


def test_the_rule_of_boxes_is_that_of_the_two_thresholds() -> None:
    assert EvaluationSettings.model_validate(WHOLE).rule == BoxRule(0.8, lower=True)

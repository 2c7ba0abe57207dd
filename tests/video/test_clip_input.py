from typing import Any

import pytest

from pipeline.base.code_version import import_closure
from pipeline.video.clip_input import ClipInput
from tests.models.test_settings import refusal

WHOLE: dict[str, Any] = {"frames": 4, "interval": 2, "short_side": 64, "mean": [1, 2, 3], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"frames": 0}, ("frames", "greater_than")),
        ({"interval": 0}, ("interval", "greater_than")),
        ({"short_side": 0}, ("short_side", "greater_than")),
        ({"mean": [1, float("nan"), 1]}, ("mean.1", "finite_number")),
        ({"std": [1, 1]}, ("std.2", "missing")),
        ({"other": 1}, ("other", "unexpected_keyword_argument")),
    ],
)
def test_what_is_no_clip_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert refusal(ClipInput, {**WHOLE, **change}) == found


def test_sidecars_are_read_without_the_rest_of_the_project() -> None:
    assert set(import_closure("pipeline.video.clip_input")) == {
        "pipeline/base/omitted_fields.py", "pipeline/video/clip_input.py", "pipeline/video/size.py",
    }  # fmt: skip

from typing import Any

import pytest

from pipeline.base.code_version import import_closure
from pipeline.video.view_input import ViewInput
from tests.models.test_settings import refusal

WHOLE: dict[str, Any] = {"short_side": 64, "crop": 56, "mean": [1, 2, 3], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"short_side": 0}, ("short_side", "greater_than")),
        ({"crop": 0}, ("crop", "greater_than")),
        ({"std": [1, 1]}, ("std.2", "missing")),
        ({"other": 1}, ("other", "unexpected_keyword_argument")),
    ],
)
def test_what_is_no_view_is_refused(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert refusal(ViewInput, {**WHOLE, **change}) == found


def test_a_crop_must_fit() -> None:
    with pytest.raises(ValueError, match=r"^a crop of 65 from a short side of 64$"):
        ViewInput(short_side=64, crop=65, mean=(1, 1, 1), std=(1, 1, 1))


def test_sidecars_are_read_without_the_rest_of_the_project() -> None:
    assert set(import_closure("pipeline.video.view_input")) == {"pipeline/video/view_input.py"}

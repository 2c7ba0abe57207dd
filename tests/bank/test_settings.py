from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.bank.settings import BankSettings
from pipeline.tables.select_boxes import BoxRule

VALUES: dict[str, Any] = {
    "box_threshold": 0.9, "seconds": "grid", "dtype": "fp16", "codec": "none", "compute_dtype": "fp32",
    "lower_threshold": True, "full_frame_box": False,
}  # fmt: skip


def read(**changes: Any) -> BankSettings:
    return TypeAdapter(BankSettings).validate_python({**VALUES, **changes})


def test_the_rule_is_of_the_three_keys_about_boxes() -> None:
    assert read().rule == BoxRule(0.9, lower=True, full_frame=False)
    assert read(lower_threshold=False, full_frame_box=True).rule == BoxRule(0.9, lower=False, full_frame=True)


@pytest.mark.parametrize(
    "changes",
    [{"codex": "none"}, {"codec": "gzip"}, {"dtype": "fp64"}, {"seconds": "all"}, {"box_threshold": float("inf")}],
)
def test_an_unknown_key_or_value_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        read(**changes)
    assert [each["loc"] for each in error.value.errors()] == [tuple(changes)]

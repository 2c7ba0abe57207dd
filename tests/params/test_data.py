from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.params import parse_params
from pipeline.tables.select_boxes import BoxRule
from tests.params.test_params import composed


def refused(**values: Any) -> str:
    with pytest.raises(InputError) as error:
        parse_params(composed(**values), "params.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset.name", "My films"),
        ("dataset.name", "../x"),
        ("dataset.classes", 0),
        ("dataset.frame_rate", 0),
        ("dataset.first_id", 2),
        ("dataset.pack", 0),
        ("dataset.val_fraction", 1.2),
        ("dataset.split_by", "frame"),
        ("dataset.keyframe_seconds", 0),
        ("dataset.origins", {"films": "x"}),
        ("dataset.colour", "red"),
        ("bank.name", "mine"),
        ("bank.make", ["train", "all"]),
        ("bank.reads", "frames"),
        ("bank.codex", "none"),
        ("bank.box_threshold", float("nan")),
    ],
)
def test_values_that_are_none_and_unknown_keys_are_named(key: str, value: object) -> None:
    assert f" {key}" in refused(**{key: value})


def test_a_bank_has_the_settings_that_its_bytes_depend_on() -> None:
    bank = parse_params(composed(**{"bank.box_threshold": 0.9, "bank.lower_threshold": True}), "params.yaml").bank
    assert bank.rule == BoxRule(0.9, lower=True)


def test_a_data_set_that_is_brought_has_no_playground() -> None:
    values = composed()
    del values["dataset"]["playground"]
    dataset = parse_params(values, "params.yaml").dataset
    assert (dataset.playground, dataset.origins) == (None, {})

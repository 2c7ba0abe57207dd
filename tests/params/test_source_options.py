from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.annotations.sources import SourceOptions
from pipeline.params import parse_params
from pipeline.params.source_options import source_options
from tests.params.test_params import composed


def options(**values: Any) -> SourceOptions:
    changed = composed(**{f"dataset.{key}": value for key, value in values.items()})
    return source_options(parse_params(changed, "params.yaml").dataset)


def test_words_for_what_is_not_said_become_none() -> None:
    found = options()
    assert (found.first_id, found.class_map, found.clips) == (None, None, Path("conf/none/clips"))
    assert (options(first_id=0).first_id, options(class_map=["walk"]).class_map) == (0, ["walk"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", 7),
        ("timestamps", "frames"),
        ("split_number", 3),
        ("action_attribute", ["a", "b"]),
        ("keyframe_seconds", 0.5),
        ("val_fraction", 0.4),
        ("split_by", "time"),
        ("split_gap_seconds", 9.0),
        ("evaluate", "kinetics"),
    ],
)
def test_every_other_option_is_the_parameter_of_its_name(name: str, value: object) -> None:
    before, after = vars(options()), vars(options(**{name: value}))
    assert {key: each for key, each in after.items() if before[key] != each} == {name: value}
    assert before.keys() == {each.name for each in fields(SourceOptions)}

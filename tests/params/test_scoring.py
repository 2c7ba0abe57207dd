from typing import Any

import pytest

from pipeline.params import parse_params
from tests.params.test_data import refused
from tests.params.test_params import composed

REPORTED: dict[str, Any] = {
    "map": 20.5, "source": "x", "config": "slowonly.py", "protocol": "mmaction2_0x", "gpus": 8, "clips_per_gpu": 16,
    "resolution": "short-side 256", "trained_on": "AVA v2.1", "evaluated_on": "AVA v2.1", "initial_weights": "none",
}  # fmt: skip


def test_what_a_source_does_not_say_has_a_default() -> None:
    found = parse_params(composed(reported=REPORTED), "params.yaml").reported
    assert found is not None
    assert (found.map, found.video_map, found.memory_mb, found.fixture, found.note) == (20.5, {}, None, None, "")
    assert parse_params(composed(), "params.yaml").reported is None


@pytest.mark.parametrize(
    ("key", "value"), [("protocol", "ava"), ("gpus", 0), ("memory_mb", 0), ("video_map", {"0.5": "x"}), ("maps", 1)]
)
def test_values_that_are_none_and_unknown_keys_are_named(key: str, value: object) -> None:
    assert f" reported.{key}" in refused(reported={**REPORTED, key: value})

import pytest

from tests.params.test_data import refused


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone.name", "Slow Only"),
        ("backbone.width", 0),
        ("backbone.depth", 50),
        ("backbone.input.frames", 0),
        ("backbone.input.fps", 30),
        ("scope.name", "backbone"),
        ("scope.window", "x"),
    ],
)
def test_values_that_are_none_and_unknown_keys_are_named(key: str, value: object) -> None:
    assert f" {key}" in refused(**{key: value})

import pytest

from pipeline.playground.settings import Playground
from tests.models.test_settings import refusal
from tests.playground.conftest import SMALL


@pytest.mark.parametrize("name", [name for name in SMALL if name != "seed"])
def test_numbers_lengths_and_sizes_are_above_0(name: str) -> None:
    assert refusal(Playground, {**SMALL, name: 0}) == (name, "greater_than")


def test_any_seed_is_one_and_an_unknown_key_is_none() -> None:
    assert Playground.model_validate({**SMALL, "seed": -1}).seed == -1
    assert refusal(Playground, {**SMALL, "fps": 15}) == ("fps", "extra_forbidden")

"""A refused value has the same message in whatever form it was read."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.base.invalid import key_of, told_of


@dataclass
class Plain:
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    size: int = 1

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError(".size is large, block.size too")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1


def told(form: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(dict[str, form]).validate_python({"block": value})
    (first,) = error.value.errors()
    return told_of(first, key_of(first))


def test_a_dataclass_is_told_like_a_model() -> None:
    for form in (Plain, Model):
        assert told(form, {"sise": 1}) == "block.sise: Extra inputs are not permitted"
        assert told(form, {"size": "x"}).startswith("block.size: Input should be a valid integer")
        assert told(form, 5).startswith("block: Input should be a valid dictionary")


def test_a_block_names_its_own_keys() -> None:
    assert told(Plain, {"size": 10}) == "block.size is large, block.size too"
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Plain).validate_python({"size": 10})
    assert told_of(error.value.errors()[0], "") == "size is large, block.size too"

"""What pydantic says of a value that it refuses, in our words: the same for its models and for dataclasses."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What a block says of its own keys: `.lr` in `baseline` is `baseline.lr`.
OWN_KEY = re.compile(r"(?<![\w.\]})])\.(?=[a-z])")
# Of a dataclass -> of a model.
SAME = {
    "unexpected_keyword_argument": "Extra inputs are not permitted",
    "dataclass_type": "Input should be a valid dictionary",
}


def key_of(error: "ErrorDetails") -> str:
    """The dotted key of the value; empty for the whole."""
    return ".".join(str(part) for part in error["loc"])


def told_of(error: "ErrorDetails", key: str) -> str:
    """The key and what is wrong with its value; a block's own words name its keys themselves.

    Args:
        error: one of those of a `ValidationError`.
        key: the dotted key, or another name of the value; empty for the whole.
    """
    told = SAME.get(error["type"], error["msg"].removeprefix("Value error, "))
    whole = OWN_KEY.sub(f"{key}." if key else "", told)
    return whole if told.startswith(".") else f"{key[:200]}: {whole}"

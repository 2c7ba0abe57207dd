"""One-line messages for values that pydantic refuses, the same for its models and for dataclasses."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# A block's own messages write its keys with a leading dot: `.lr` in `baseline` becomes `baseline.lr`.
OWN_KEY = re.compile(r"(?<![\w.\]})])\.(?=[a-z])")
# Error types of a dataclass, with the words that a model has for the same error.
SAME = {
    "unexpected_keyword_argument": "Extra inputs are not permitted",
    "dataclass_type": "Input should be a valid dictionary",
}


def key_of(error: "ErrorDetails") -> str:
    """Return the dotted key of the refused value; the empty string for the whole."""
    return ".".join(str(part) for part in error["loc"])


def told_of(error: "ErrorDetails", key: str) -> str:
    """Return the message: the key and what is wrong with its value. A block's own message names its keys itself.

    Args:
        error: one entry of a `ValidationError`.
        key: the dotted key, or another name of the value; empty for the whole.
    """
    told = SAME.get(error["type"], error["msg"].removeprefix("Value error, "))
    whole = OWN_KEY.sub(f"{key}." if key else "", told)
    return whole if told.startswith(".") else f"{key[:200]}: {whole}"

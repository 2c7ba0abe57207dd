"""Fields of settings that sidecars and records leave out where they have their default.

So a new setting changes nothing of what was written before it, nor of what is written without it.
"""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

LEFT_OUT: Mapping[str, Any] = {"left_out": True}
"The metadata of such a field of a dataclass."


def is_left_out(field: "Field[Any]", value: Any) -> bool:
    """Return whether a field with this value is left out."""
    return bool(field.metadata.get("left_out")) and value == field.default

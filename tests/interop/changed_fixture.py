"""A fixture that was made for tests, with some values changed."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def changed(made: Path, place: Iterable[Any], **changes: Any) -> Path:
    """Write the fixture `made` once more beside it, with other values in the block at `place` (keys and numbers)."""
    facts = json.loads(made.read_text())
    block = facts
    for key in place:
        block = block[key]
    block |= changes
    path = made.with_name("changed.json")
    path.write_text(json.dumps(facts))
    arrays = made.with_suffix(".npz")
    if arrays.exists():
        path.with_suffix(".npz").write_bytes(arrays.read_bytes())
    return path

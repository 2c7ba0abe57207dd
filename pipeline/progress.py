"""Progress bars for long work, quiet where standard error is no terminal."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from pipeline.ranks import is_main

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, what: str, total: int | None = None, unit: str = "it") -> Iterable[Item]:
    """Iterate over `items` behind a bar named `what`."""
    quiet = None if is_main() else True
    return tqdm(items, desc=what, total=total, unit=unit, disable=quiet, leave=False, dynamic_ncols=True)

"""Progress bars for long work, quiet where standard error is no terminal."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, what: str, total: int | None = None, unit: str = "it") -> Iterable[Item]:
    """Iterate over `items` behind a bar named `what`."""
    return tqdm(items, desc=what, total=total, unit=unit, disable=None, leave=False, dynamic_ncols=True)

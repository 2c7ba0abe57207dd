"""Progress bars for long work; none where standard error is not a terminal."""

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from pipeline.base.ranks import is_main

Item = TypeVar("Item")

# The bar of a work of many parts, while one is shown; no other bar appears then.
_whole: "tqdm[Any] | None" = None
_hidden = False


def progress(items: Iterable[Item], *, what: str, total: int | None = None, unit: str = "it") -> Iterable[Item]:
    """Iterate over `items` and show progress: as a bar named `what`, or as the text of the bar of `whole_bar`."""
    if _whole is not None:
        return _told(_whole, items, what, total)
    quiet = None if is_main() and not _hidden else True
    return tqdm(items, desc=what, total=total, unit=unit, disable=quiet, leave=False, dynamic_ncols=True)


def has_bar() -> bool:
    """Return whether bars are shown: this process prints, and standard error is a terminal."""
    return is_main() and sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def no_bars() -> Iterator[None]:
    """Show no bar within this context: for small work that is done again and again."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


@contextmanager
def whole_bar(what: str, *, total: int, done: int) -> Iterator["tqdm[Any] | None"]:
    """Show one bar, with the time left, for a work of many parts; `progress` then writes its text.

    Yields the bar, or None where standard error is not a terminal.

    Args:
        what: name of the bar.
        total: steps of the whole work.
        done: steps that an earlier run did.
    """
    global _whole
    if not has_bar():
        yield None
        return
    # The mean over the whole run, because occasional parts (a validation) belong to the time left.
    shape = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left{postfix}"
    with tqdm(
        desc=what, total=total, initial=done, bar_format=shape, smoothing=0, miniters=1, leave=False, dynamic_ncols=True
    ) as bar:
        _whole = bar
        try:
            yield bar
        finally:
            _whole = None


def _told(bar: "tqdm[Any]", items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    if total is None and isinstance(items, Sized):
        total = len(items)
    for number, item in enumerate(items, 1):
        bar.set_postfix_str(f"{what} {number}" + (f"/{total}" if total is not None else ""))
        yield item


def duration_text(seconds: float) -> str:
    """Format a duration in a suitable unit with at least two digits: 0.4 s, 12 s, 3.5 min, 12 min, 2.1 h."""
    for unit, size in (("s", 1), ("min", 60)):
        if round(seconds / size) < 100:
            return f"{seconds / size:.1f} {unit}" if seconds / size < 9.95 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"

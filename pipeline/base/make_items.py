"""Make missing items with an executor: a thread pool, or any object with a `submit` method."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed

from pipeline.base.errors import InputError
from pipeline.base.progress import progress


def make_items(
    make: Callable[[str], None], names: Iterable[str], *, executor: Executor, what: str, unit: str
) -> dict[str, InputError]:
    """Call `make` with each name, and go on after an `InputError`.

    Any other exception, such as an interrupt, ends the work and cancels the calls that have not begun.

    Args:
        make: makes one item if it is not finished (`make_item`).
        names: names of the items.
        executor: runs the calls; the caller shuts it down.
        what: name of the progress bar.
        unit: what an item is, in the singular.

    Returns:
        The errors by name, sorted; empty where all items are finished.
    """
    futures = {executor.submit(make, name): name for name in names}
    failures: dict[str, InputError] = {}
    try:
        for future in progress(as_completed(futures), what=what, total=len(futures), unit=unit):
            try:
                future.result()
            except InputError as error:
                failures[futures[future]] = error
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return dict(sorted(failures.items()))


def refuse_failures(failures: dict[str, str], count: int, unit: str) -> None:
    """End a stage if some of its items could not be made.

    Args:
        failures: the reason for each failed item, by name.
        count: how many items there are in all.
        unit: what an item is, in the singular.

    Raises:
        InputError: there are failures; the message shows the first one by name.
    """
    if failures:
        first = failures[min(failures)]
        raise InputError(f"{len(failures)} of {count} {unit}s failed, the others are kept in .work; {first}")

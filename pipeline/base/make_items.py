"""Missing items made by an executor: a thread pool, or whatever else has `submit`."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed

from pipeline.base.errors import InputError
from pipeline.base.progress import progress


def make_items(
    make: Callable[[str], None], names: Iterable[str], *, executor: Executor, what: str, unit: str
) -> dict[str, InputError]:
    """Call `make` with each name, and go on after an `InputError`.

    Anything else that is raised, as an interrupt, ends the work: what has not begun is dropped.

    Args:
        make: makes one item, where it is not finished (`make_item`).
        names: of the items.
        executor: runs the calls; the caller shuts it down.
        what: name of the progress bar.
        unit: what an item is.

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
    """End a stage of whose items some could not be made.

    Args:
        failures: why, by name.
        count: how many items there are in all.
        unit: what an item is.

    Raises:
        InputError: there are failures; the first by name is told.
    """
    if failures:
        first = failures[min(failures)]
        raise InputError(f"{len(failures)} of {count} {unit}s failed, the others are kept in .work; {first}")

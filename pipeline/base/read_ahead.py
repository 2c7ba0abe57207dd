"""Read ahead, in threads, what is used next."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# Results ahead of the consumer; bounded, so that memory use does not grow with the length of a film.
READ_AHEAD = 4
Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 2, ahead: int = READ_AHEAD
) -> Iterator[Result]:
    """Like `map(read, items)`, in threads and in order, at most `ahead` results ahead of the consumer."""
    waiting: list[Future[Result]] = []
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        for item in source:
            waiting.append(pool.submit(read, item))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()

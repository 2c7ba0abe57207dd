"""Fetch the rows of the films that come next from banks on another machine, while the films before are in use.

The order of the keyframes of a pass is known from the seed before its first step. So a training on such a bank waits
for the network only where this gives fewer bytes than the training reads. Banks of this machine are mapped, and nothing
is done for them.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.base.progress import progress

THREADS = 8
CACHE_VARIABLE = "ACTIONBANK_BANK_CACHE"
"Environment variable: MiB that fetched parts may take on this machine."
AHEAD_SHARE = 4  # of the cache folder: as much may be fetched and not yet read
MOST_AHEAD = 1 << 30  # bytes; more would only push out what may be read again
INDEX_ARRAY = "timestamp"  # any small array: they are fetched together
Part = TypeVar("Part")
Key = tuple[int, str, str]  # number of the bank, part, row set


def fetch_index(banks: Sequence[Bank], row_sets: Sequence[str]) -> None:
    """Fetch the small arrays (times, boxes, scores) of all parts of banks on another machine, several at a time.

    Raises:
        InputError: an array is missing, unreadable or not what the manifest says.
    """
    wanted = [
        (bank, next(iter(part.videos)), row_set)
        for bank in banks
        if bank.fetched is not None
        for part in bank.manifest.parts.values()
        for row_set in row_sets
        if row_set in part.row_sets
    ]
    if not wanted:
        return
    for bank in {id(bank): bank for bank, *_ in wanted}.values():
        _say_small_cache(bank, row_sets)
    with ThreadPoolExecutor(2 * THREADS) as pool:
        done = pool.map(lambda each: each[0].fetch(*each[1:], INDEX_ARRAY), wanted)
        for _ in progress(done, what="fetch times and boxes", total=len(wanted), unit="part"):
            pass


def _say_small_cache(bank: Bank, row_sets: Sequence[str]) -> None:
    """Say where the cache folder cannot keep what a training reads of a bank."""
    assert bank.fetched is not None
    sets = [part.row_sets[name] for part in bank.manifest.parts.values() for name in row_sets if name in part.row_sets]
    size = sum(sum(each.shard_bytes.values()) for each in sets)
    if size > bank.fetched.cache_bytes:
        room = f"{bank.fetched.cache_bytes >> 20} MiB that are kept of banks elsewhere"
        told = f"{' and '.join(row_sets)} have {-(-size >> 20)} MiB, more than the {room}"
        print(f"{bank.where}: {told}: films are fetched again and again; {CACHE_VARIABLE} sets it", file=sys.stderr)


def films_ahead(
    batches: Sequence[Part], films_of: Callable[[Part], Iterable[str]], banks: Sequence[Bank], row_sets: Sequence[str]
) -> Iterator[Part]:
    """Yield the batches; the features of those that follow are fetched meanwhile.

    Args:
        batches: in the order in which they are used.
        films_of: returns the films of a batch.
        banks: those on another machine are fetched from.
        row_sets: row sets whose features are used.
    """
    elsewhere = [bank for bank in banks if bank.fetched is not None]
    if not elsewhere:
        yield from batches
        return
    fetching = _Fetching(elsewhere, row_sets)
    try:
        asked = 0
        for place, batch in enumerate(batches):
            while asked < len(batches) and (asked <= place or fetching.has_room):
                fetching.ask(films_of(batches[asked]))
                asked += 1
            yield batch
            fetching.leave()
    finally:
        fetching.pool.shutdown(wait=False, cancel_futures=True)


class _Fetching:
    """The batches that were asked for and are not yet used, and what was fetched last."""

    def __init__(self, banks: Sequence[Bank], row_sets: Sequence[str]) -> None:
        self.banks, self.row_sets = banks, row_sets
        self.pool = ThreadPoolExecutor(THREADS, "fetch")
        self._most = min(MOST_AHEAD, *(bank.fetched.cache_bytes // AHEAD_SHARE for bank in banks if bank.fetched))
        self._ahead: list[int] = []  # bytes that each batch ahead has fetched anew
        self._recent: OrderedDict[Key, int] = OrderedDict()  # what is surely still in the cache, with its bytes
        self._recent_bytes = 0

    @property
    def has_room(self) -> bool:
        return sum(self._ahead) < self._most

    def ask(self, films: Iterable[str]) -> None:
        """Fetch the features of a batch's films that were not fetched lately."""
        found = 0
        for film in dict.fromkeys(films):
            for number, bank in enumerate(self.banks):
                for row_set in self.row_sets:
                    if bank.has_rows(film, row_set):
                        found += self._ask(number, bank, film, row_set)
        self._ahead.append(found)

    def leave(self) -> None:
        """Say that the first batch ahead has been used."""
        del self._ahead[0]

    def _ask(self, number: int, bank: Bank, film: str, row_set: str) -> int:
        part = bank.part_of(film)
        key, size = (number, part, row_set), bank.manifest.parts[part].row_sets[row_set].shard_bytes["features"]
        if key in self._recent:
            self._recent.move_to_end(key)
            return 0
        self._recent[key] = size
        self._recent_bytes += size
        while self._recent_bytes > 2 * self._most and len(self._recent) > 1:
            self._recent_bytes -= self._recent.popitem(last=False)[1]
        self.pool.submit(_fetch, bank, film, row_set)
        return size


def _fetch(bank: Bank, film: str, row_set: str) -> None:
    with suppress(InputError):  # whoever reads the rows meets the same error, and says it
        bank.fetch(film, row_set, "features")

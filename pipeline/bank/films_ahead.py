"""Fetch the rows of the films that come next from banks on another machine, while the films before are in use.

The order of the keyframes of a pass is known from the seed before its first step. So a training on such a bank waits
for the network only where this gives fewer bytes than the training reads. Banks of this machine are mapped, and nothing
is done for them.
"""

import sys
from collections import OrderedDict, deque
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
MOST_BATCHES = 64
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
        remedy = f"films that memory drops are fetched again; {CACHE_VARIABLE} sets it"
        print(f"{bank.where}: {told}: {remedy}", file=sys.stderr)


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
    """The batches that were asked for and are not yet used, and what need not be fetched for the next ones."""

    def __init__(self, banks: Sequence[Bank], row_sets: Sequence[str]) -> None:
        self.banks, self.row_sets = banks, row_sets
        self.pool = ThreadPoolExecutor(THREADS, "fetch")
        self._most = min(MOST_AHEAD, *(bank.fetched.cache_bytes // AHEAD_SHARE for bank in banks if bank.fetched))
        self._ahead: deque[dict[Key, int]] = deque()  # what each batch reads, with the bytes that were asked for
        self._recent: OrderedDict[Key, int] = OrderedDict()  # what is surely still in the cache, with its bytes
        self._recent_bytes = 0
        self._mapped: set[Key] = set()  # what its reader holds, so that it does not ask for it

    @property
    def has_room(self) -> bool:
        asked = sum(sum(batch.values()) for batch in self._ahead)
        return asked < self._most and len(self._ahead) < MOST_BATCHES

    def ask(self, films: Iterable[str]) -> None:
        """Fetch the features of a batch's films, without those that were fetched lately or that the reader holds."""
        batch: dict[Key, int] = {}
        for film in dict.fromkeys(films):
            for number, bank in enumerate(self.banks):
                for row_set in self.row_sets:
                    key = (number, bank.part_of(film), row_set) if bank.has_rows(film, row_set) else None
                    if key is not None and key not in batch:
                        batch[key] = self._ask(key, bank, film)
        self._ahead.append(batch)

    def leave(self) -> None:
        """Note what the first batch ahead, which has been used, read: what it did not read is in the reader's hands."""
        for key in self._ahead.popleft():
            if self._was_read(key):
                self._mapped.discard(key)
            else:
                self._mapped.add(key)

    def _was_read(self, key: Key) -> bool:
        fetched = self.banks[key[0]].fetched
        assert fetched is not None
        was_read = key[1:] in fetched.reads
        fetched.reads.discard(key[1:])
        return was_read

    def _ask(self, key: Key, bank: Bank, film: str) -> int:
        if key in self._mapped:
            return 0
        if key in self._recent:
            self._recent.move_to_end(key)
            return 0
        size = bank.manifest.parts[key[1]].row_sets[key[2]].shard_bytes["features"]
        self._recent[key] = size
        self._recent_bytes += size
        while self._recent_bytes > 2 * self._most and len(self._recent) > 1:
            self._recent_bytes -= self._recent.popitem(last=False)[1]
        self.pool.submit(_fetch, bank, film, key[2])
        return size


def _fetch(bank: Bank, film: str, row_set: str) -> None:
    with suppress(InputError):  # whoever reads the rows meets the same error, and says it
        bank.fetch(film, row_set, "features")

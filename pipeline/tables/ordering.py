"""Sort and group table columns, in the byte order of the text (the same on every machine)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Column = NDArray[Any]


def ranked(texts: pa.Array | pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts in order, and for each row the rank of its text among them."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    coded = pc.dictionary_encode(texts)
    names = coded.dictionary.to_pylist()
    places = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[places] = np.arange(len(names))
    return [names[place] for place in places], rank[coded.indices.to_numpy()]


def ordered(keys: Sequence[Column]) -> NDArray[np.int64]:
    """Return row indices sorted by the first key, then the second, and so on; equal rows keep their order."""
    in_order = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in reversed(keys):
        in_order = (key[:-1] < key[1:]) | ((key[:-1] == key[1:]) & in_order)
    # Our own tables are already sorted, and checking that is much cheaper than sorting them again.
    return np.arange(len(keys[0])) if in_order.all() else np.lexsort(list(reversed(keys)))


def group_starts(keys: Sequence[Column]) -> NDArray[np.bool_]:
    """Return for each of some sorted rows whether it differs from the previous row in any key."""
    new = np.ones(len(keys[0]), bool)
    if len(new):
        new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return new


def ranks(key: Column) -> NDArray[np.int64]:
    """Return for each of some sorted rows how many rows of the same key stand before it."""
    starts = group_starts([key])
    number = np.arange(len(key))
    rank: NDArray[np.int64] = number - number[starts][np.cumsum(starts) - 1]
    return rank


def first_alike(keys: Sequence[Column]) -> NDArray[np.int64]:
    """Return for each row the first row whose keys are all equal to its own (perhaps the row itself)."""
    order = ordered(keys)
    starts = group_starts([key[order] for key in keys])
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return first


def sort_table(table: pa.Table, names: Sequence[str], *, descending: Sequence[str] = ()) -> pa.Table:
    """Sort the rows of `table` by the columns `names` (text or numbers without nulls)."""
    keys = []
    for name in names:
        key = ranked(table[name])[1] if pa.types.is_string(table[name].type) else table[name].to_numpy()
        keys.append(-key if name in descending else key)
    return table.take(pa.array(ordered(keys))).combine_chunks()

"""Read pickles with Python's own reader, within a limit on the nesting of tuples and frozen sets.

A tuple that is a key or a member of a set is hashed recursively on the C stack, which Python does not limit: a file of
a megabyte could crash the process.
"""

import pickle
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 32


class Refusal(Exception):
    """The pickle holds or does something that no file of arrays and containers does."""


class ShallowUnpickler(pickle._Unpickler):
    """Unpickler that refuses to make a tuple nested deeper than `MAX_DEPTH`; arguments as for `pickle.Unpickler`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Depth and weight by id(). The tuple is stored too, so that no later object can get the same id().
        self._deep: dict[int, tuple[int, int, Any]] = {}

    def _measure(self, value: Any) -> None:
        if type(value) not in (tuple, frozenset) or id(value) in self._deep:
            return
        inner = [each for each in value if type(each) in (tuple, frozenset)]
        if not inner:
            return
        depth = 1 + max(self._deep.get(id(each), (1,))[0] for each in inner)
        if depth > MAX_DEPTH:
            raise Refusal(f"its containers are nested deeper than {MAX_DEPTH}")
        weight = 1 + len(value) - len(inner) + sum(map(self.weight, inner))
        self._deep[id(value)] = depth, weight, value

    def weight(self, value: Any) -> int:
        """Return how many steps the hash of a value takes; a value in several places counts at each of them."""
        if type(value) not in (tuple, frozenset):
            return 1
        known = self._deep.get(id(value))
        return 1 + len(value) if known is None else known[1]


def _measured(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the operation, followed by a look at the object it made."""

    def load_and_measure(reader: Any) -> None:
        load(reader)
        reader._measure(reader.stack[-1])

    return load_and_measure


# Only these operations can make a tuple or a frozen set.
_MAKERS = (
    *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.FROZENSET),
    *(pickle.REDUCE, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
ShallowUnpickler.dispatch = {
    **pickle._Unpickler.dispatch,
    **{each[0]: _measured(pickle._Unpickler.dispatch[each[0]]) for each in _MAKERS},
}

"""Python's reader of pickles, with a limit on how deep tuples and frozen sets may be nested.

One that is a key or a member of a set is hashed, level by level on the stack of C, which has no limit of its own:
a file of a megabyte could end the process.
"""

import pickle
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 32


class Refusal(Exception):
    """A pickle holds or does what no file of arrays and containers does."""


class ShallowUnpickler(pickle._Unpickler):
    """Refuses to make a tuple that is nested deeper than `MAX_DEPTH`; all arguments are `pickle.Unpickler`'s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Depth and weight by identity; the tuple is kept beside them, so that no other object can have its identity.
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
        """How many steps the hash of a value takes: one that is in several places counts at each of them."""
        if type(value) not in (tuple, frozenset):
            return 1
        known = self._deep.get(id(value))
        return 1 + len(value) if known is None else known[1]


def _measured(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """The operation, and then a look at what it made."""

    def load_and_measure(reader: Any) -> None:
        load(reader)
        reader._measure(reader.stack[-1])

    return load_and_measure


# Of all operations these alone can make a tuple or a frozen set.
_MAKERS = (
    *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.FROZENSET),
    *(pickle.REDUCE, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
ShallowUnpickler.dispatch = {
    **pickle._Unpickler.dispatch,
    **{each[0]: _measured(pickle._Unpickler.dispatch[each[0]]) for each in _MAKERS},
}

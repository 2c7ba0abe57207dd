"""Python's reader of pickles, with a limit on how deep tuples may be nested.

A tuple that is a key or a member of a set is hashed, level by level on the stack of C, which has no limit of its own:
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
        # By identity; the tuple is kept beside its depth, so that no other object can have its identity.
        self._deep: dict[int, tuple[int, Any]] = {}

    def _measure(self, value: Any) -> None:
        if type(value) is not tuple or id(value) in self._deep:
            return
        depth = 1 + max((self._deep.get(id(each), (1,))[0] for each in value if type(each) is tuple), default=0)
        if depth > MAX_DEPTH:
            raise Refusal(f"its containers are nested deeper than {MAX_DEPTH}")
        if depth > 1:
            self._deep[id(value)] = depth, value


def _measured(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """The operation, and then a look at what it made."""

    def load_and_measure(reader: Any) -> None:
        load(reader)
        reader._measure(reader.stack[-1])

    return load_and_measure


# Of all operations these alone can make a tuple.
_MAKERS = (
    *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.REDUCE, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
ShallowUnpickler.dispatch = {
    **pickle._Unpickler.dispatch,
    **{each[0]: _measured(pickle._Unpickler.dispatch[each[0]]) for each in _MAKERS},
}

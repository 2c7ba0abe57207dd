"""Read pickles with Python's own reader, within limits on memory and steps that depend on the file's size.

One byte can make an object of hundreds of bytes, five bytes can copy an earlier object of a megabyte, and a key can
take billions of steps to hash. So a file has a budget that depends on its size, and operations are charged for what
they make, copy and hash. What is not charged takes at most some tens of bytes for each byte of the file.
"""

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.interop.shallow import Refusal, ShallowUnpickler

FACTOR = 100
FLOOR = 256 << 20
MAX_NAME = 1000
MAX_INTEGER_BYTES = 1024
# Bytes charged for each element that is copied, and for each step of a hash.
ELEMENT, STEP = 16, 10
# Bytes charged for an object that is stored in the memo, and for a nested tuple.
MEMO, NESTED = 104, 256
_TEXTS = frozenset((str, bytes, bytearray))
_CONTAINERS = frozenset((list, tuple, set, frozenset, dict))


def limit_of(size: int) -> int:
    """Return the budget in bytes of a file with this size."""
    return FLOOR + FACTOR * size


class BoundedUnpickler(ShallowUnpickler):
    """Unpickler that refuses a file which exceeds its budget.

    Args:
        file: as for `pickle.Unpickler`.
        size: size of the file in bytes.
        **options: as for `pickle.Unpickler`.
    """

    memo: dict[int, Any]

    def __init__(self, file: Any, *, size: int, **options: Any) -> None:
        super().__init__(file, **options)
        self.size = size
        self._left = limit_of(size)
        self.built: set[type] = set()
        "Classes of this package whose objects take a state."

    def load(self) -> Any:
        """Load the pickle; see `pickle.Unpickler`."""
        value = super().load()
        self.charge(0)
        return value

    def charge(self, cost: int) -> None:
        """Subtract from the budget.

        Raises:
            Refusal: the budget is used up.
        """
        self._left -= cost
        if self._left < MEMO * len(self.memo) + NESTED * len(self._deep):
            mib = limit_of(self.size) / 2**20
            raise Refusal(
                f"it takes more memory or steps than {mib:.0f} MiB, the limit of a file of {self.size} bytes "
                f"({FACTOR} times its size and {FLOOR >> 20} MiB)"
            )

    def charge_copies(self, arguments: Iterable[Any]) -> None:
        """Charge for a copy of each argument that has a length, and for hashing its content."""
        for each in arguments:
            kind = type(each)
            if kind in _TEXTS:
                self.charge(len(each))
            elif kind in _CONTAINERS and each:
                self.charge(ELEMENT * len(each))
                self.charge_keys(pair[0] if type(pair) is list and len(pair) == 2 else pair for pair in each)

    def charge_keys(self, keys: Iterable[Any]) -> None:
        """Charge for hashing keys that consist of parts."""
        for key in keys:
            if type(key) is tuple or type(key) is frozenset:
                self.charge(STEP * self.weight(key))


def _charged(load: Callable[[Any], None], cost: int) -> Callable[[Any], None]:
    def charge_and_load(reader: Any) -> None:
        reader.charge(cost)
        load(reader)

    return charge_and_load


def _after(load: Callable[[Any], None], look: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the operation, preceded by a look at the stack."""

    def look_and_load(reader: Any) -> None:
        look(reader)
        load(reader)

    return look_and_load


def _look_at_build(reader: Any) -> None:
    owner, state = reader.stack[-2:]
    if type(owner) not in reader.built:
        if not type(owner).__module__.startswith("pipeline."):  # an array or a tensor would take a state too
            raise Refusal("it changes an object that is made")
        reader.built.add(type(owner))
    reader.charge_copies(state if type(state) is tuple else [state])


def _look_at_name(reader: Any) -> None:
    if sum(len(each) for each in reader.stack[-2:] if isinstance(each, str)) > MAX_NAME:
        raise Refusal(f"it holds a name of more than {MAX_NAME} characters")


def _load_long4(reader: Any) -> None:
    size = int.from_bytes(reader.read(4), "little")
    if size > MAX_INTEGER_BYTES:
        raise Refusal(f"it holds a whole number of more than {MAX_INTEGER_BYTES} bytes")
    reader.append(pickle.decode_long(reader.read(size)))


_COSTS = {
    **dict.fromkeys((pickle.EMPTY_LIST, pickle.LIST), 64),
    **dict.fromkeys((pickle.EMPTY_DICT, pickle.DICT), 240),
    **dict.fromkeys((pickle.EMPTY_SET, pickle.FROZENSET), 224),
    **dict.fromkeys((pickle.REDUCE, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX), 400),
    **dict.fromkeys((pickle.PERSID, pickle.BINPERSID), 400),
    pickle.MARK: 88,
}
_LOOKS: dict[bytes, Callable[[Any], None]] = {
    pickle.BUILD: _look_at_build,
    pickle.STACK_GLOBAL: _look_at_name,
    pickle.REDUCE: lambda reader: reader.charge_copies(reader.stack[-1]),
    pickle.NEWOBJ: lambda reader: reader.charge_copies(reader.stack[-1]),
    pickle.NEWOBJ_EX: lambda reader: reader.charge_copies(reader.stack[-2]),
    pickle.INST: lambda reader: reader.charge_copies(reader.stack),
    pickle.OBJ: lambda reader: reader.charge_copies(reader.stack),
    pickle.SETITEM: lambda reader: reader.charge_keys(reader.stack[-2:-1]),
    pickle.SETITEMS: lambda reader: reader.charge_keys(reader.stack[::2]),
    pickle.DICT: lambda reader: reader.charge_keys(reader.stack[::2]),
    pickle.ADDITEMS: lambda reader: reader.charge_keys(reader.stack),
    pickle.FROZENSET: lambda reader: reader.charge_keys(reader.stack),
}
_dispatch = dict(ShallowUnpickler.dispatch)
_dispatch[pickle.LONG4[0]] = _load_long4
for _code, _look in _LOOKS.items():
    _dispatch[_code[0]] = _after(_dispatch[_code[0]], _look)
for _code, _cost in _COSTS.items():
    _dispatch[_code[0]] = _charged(_dispatch[_code[0]], _cost)
BoundedUnpickler.dispatch = _dispatch

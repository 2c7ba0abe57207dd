"""Read foreign pickles: NumPy arrays and plain containers (`torch_files` adds tensors), nothing else.

No other module reads them. A pickle is a program that names functions and calls them. Here no foreign function is ever
called: each allowed name is mapped to a function or class of this file, which checks its arguments and builds the plain
value. Every other name is refused; reading then goes on with objects that do nothing, only to list all such names. A
hostile file runs nothing, and its memory and time are proportional to its size (see `pipeline.interop.bounded`).
"""

import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.errors import InputError
from pipeline.base.files import refuse_special
from pipeline.interop.bounded import FACTOR, FLOOR, BoundedUnpickler, limit_of
from pipeline.interop.shallow import MAX_DEPTH, Refusal

MAX_BYTES = 2 << 30
# NumPy arrays have at most this many axes.
MAX_DIMENSIONS = 32
# Booleans, integers and floats. Object arrays hold pickled objects, and structured arrays are never boxes.
NUMERIC_DTYPE = re.compile(r"[?]|b1|[iu][1248]|f[248]")


class Global:
    """An allowed name in a pickle: it can only be called."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        """Return the result of our function for the arguments."""
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise Refusal("it changes a function")


class Inert:
    """Replaces the object of a name that is refused or ignored, so that reading goes on to the next name."""

    __slots__ = ()

    @staticmethod
    def __new__(_: Any, *args: Any) -> "Inert":
        """Make an instance; pickles may also call this on an instance that they take for a class."""
        return object.__new__(Inert)

    def __call__(self, *args: Any) -> "Inert":
        """Do nothing."""
        return self

    def _nothing(self, *_: Any) -> None:
        """Ignore what a pickle adds to the object."""

    append = extend = add = __setitem__ = __setstate__ = _nothing


class _Dtype:
    """`numpy.dtype`: made from its short name; its byte order is set afterwards."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any = None, *_: Any) -> None:
        if not isinstance(name, str) or not NUMERIC_DTYPE.fullmatch(name):
            raise Refusal("it holds an array that is not of booleans, integers or floats")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "=", "|")):
            raise Refusal("it holds an array of an unknown number type")
        if any(part is not None for part in state[2:5]):
            raise Refusal("it holds a structured array")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """`numpy.ndarray`: made empty; its contents are set afterwards."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise Refusal("it holds an array of an unknown layout")
        _, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _array(
    data: Any, dtype: Any, shape: Any, order: Any, axis_order: tuple[int, ...] | None = None
) -> np.ndarray[Any, Any]:
    """Return a read-only view of `data`, so that an array takes no more memory than its bytes in the file."""
    if isinstance(data, str):  # Python 2 wrote bytes as text
        data = data.encode("latin1")
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise Refusal("it holds an array whose contents are not plain numbers")
    is_short = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS
    if not is_short or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        raise Refusal("it holds an array without a shape")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise Refusal(f"it holds an array of shape {shape} in {len(data)} bytes")
    array = np.frombuffer(bytes(data), dtype.dtype) if data else np.empty(0, dtype.dtype)
    if order == "K" and axis_order is not None:
        return array.reshape(shape).transpose(axis_order)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any = b"") -> Any:
    return _array(data, dtype, (1,), "C")[0]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Return bytes from latin1 text: protocols 0 to 2 have no bytes and call `_codecs.encode` instead."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise Refusal("it encodes something other than latin1 text")
    return text.encode("latin1")


def make_container(kind: Callable[..., Any], *sources: type) -> Global:
    """Return an allowed name that makes a plain container from nothing or from one of `sources`."""

    def make(*args: Any) -> Any:
        # Never from a number: bytearray(10**12) would take a terabyte.
        if len(args) > 1 or not all(isinstance(arg, sources) for arg in args):
            raise Refusal("it makes a container from something that is none")
        return kind(*args)

    return Global(make)


class _OrderedDict(dict[Any, Any]):
    """`collections.OrderedDict`; its attributes, such as a state dict's `_metadata`, are not read."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Ignore the attributes."""


def _default_dict(*_: Any) -> dict[Any, Any]:
    return {}


ALLOWED = {
    **{
        f"numpy.{core}.{name}": Global(make)
        for core in ("core", "_core")
        for name, make in (
            ("multiarray._reconstruct", _Array),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _array),
        )
    },
    "numpy.ndarray": Global(_Array),
    "numpy.dtype": Global(_Dtype),
    "_codecs.encode": Global(_encoded),
    **{
        f"{module}.{name}": container
        for module in ("builtins", "__builtin__")
        for name, container in (
            ("list", make_container(list, list, tuple)),
            ("tuple", make_container(tuple, list, tuple)),
            ("set", make_container(set, list, tuple)),
            ("frozenset", make_container(frozenset, list, tuple)),
            ("dict", make_container(dict, list, dict)),
            ("bytes", make_container(bytes, bytes)),
            ("bytearray", make_container(bytearray, bytes)),
        )
    },
    "collections.OrderedDict": make_container(_OrderedDict, list, dict),
    "collections.defaultdict": Global(_default_dict),
}


class Reader(BoundedUnpickler):
    """Python's own reader in pure Python: the C version allocates whatever a damaged memo index asks for."""

    def __init__(
        self,
        file: io.BytesIO,
        *,
        allowed: Mapping[str, Any] = ALLOWED,
        ignored: Callable[[str], bool] = lambda name: False,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        """Prepare to read one pickle.

        Args:
            file: a file whose position is the pickle's first byte.
            allowed: the replacement of each allowed name.
            ignored: returns whether a name is replaced by an inert object instead of being refused.
            persistent: returns the object for a reference to something outside the pickle.
        """
        super().__init__(file, size=file.getbuffer().nbytes, encoding="latin1")
        self.refused: set[str] = set()
        self.allowed, self.ignored, self.persistent = allowed, ignored, persistent

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a name in the pickle; nothing is imported."""
        full = f"{module}.{name}"
        found = self.allowed.get(full)
        if found is None:
            if not self.ignored(full):
                self.refused.add(ascii(full)[1:-1][:80])
            return Inert()
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return an object outside the pickle; by default there are none."""
        if self.persistent is None:
            raise Refusal("it refers to objects outside of it")
        return self.persistent(pid)


class Plain:
    """Turns the result of `Reader.load` into plain values, in place if possible.

    Each `_Array` becomes its array; a shared or circular container stays shared or circular. The weight of a value is
    its size if every reference were a copy, because code that prints or compares the value visits all of them.

    Args:
        limit: largest weight, in bytes and elements.
        leaves: further types that are returned unchanged.
    """

    def __init__(self, limit: int, leaves: tuple[type, ...] = ()) -> None:
        self._limit = limit
        self._leaves = (bool, int, float, bytes, bytearray, np.generic, np.ndarray, *leaves)
        # Result and weight by id(). The original is stored too, so that no later object can get the same id().
        self._seen: dict[int, tuple[Any, int, Any]] = {}

    def of(self, value: Any, depth: int = 0) -> tuple[Any, int]:
        """Return the plain value and its weight.

        Raises:
            Refusal: the value is nested too deeply, is too heavy, or holds an object that is not data.
        """
        if isinstance(value, str):
            if not value.isascii():
                value.encode()  # raises for a lone surrogate, which no file and no table can store
            return value, 1
        if value is None or isinstance(value, self._leaves):
            return value, 1
        known = self._seen.get(id(value))
        if known is not None:
            return known[0], known[1]
        if depth > MAX_DEPTH:
            raise Refusal(f"its containers are nested deeper than {MAX_DEPTH}")
        if isinstance(value, _Array):
            if value.array is None:
                raise Refusal("it holds an array without contents")
            result, weight = value.array, 1 + value.array.nbytes
        elif isinstance(value, list | dict | tuple | set | frozenset):
            if not value and type(value) in (list, tuple):
                return value, 1
            result, weight = self._container(value, depth)
        else:
            raise Refusal("it holds a function in place of a value")
        if weight > self._limit:
            raise Refusal(
                "its containers and arrays stand in so many places that it would be more than "
                f"{self._limit >> 20} MiB if each had a copy ({FACTOR} times its size and {FLOOR >> 20} MiB)"
            )
        self._seen[id(value)] = result, weight, value
        return result, weight

    def _container(self, value: Any, depth: int) -> tuple[Any, int]:
        weight = 1
        if isinstance(value, tuple | set | frozenset):
            items = []
            for item in value:
                made, more = self.of(item, depth + 1)
                items.append(made)
                weight += more
            return type(value)(items), weight
        result: Any = value if type(value) in (list, dict) else {}
        self._seen[id(value)] = result, 1, value  # lets a circular reference find its container
        for key, item in enumerate(value) if isinstance(value, list) else list(value.items()):
            made, more = self.of(item, depth + 1)
            if made is not item or result is not value:
                result[key] = made
            weight += more
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str | int):
                    weight += self._key(key, depth)
        return result, weight

    def _key(self, key: Any, depth: int) -> int:
        """Return the weight of a key; a key holds no array and so is not changed."""
        made, weight = self.of(key, depth + 1)
        hash(made)  # raises if the key holds an array
        return weight


def read_value(reader: Reader, path: Path, *, what: str, leaves: tuple[type, ...] = ()) -> Any:
    """Read the value of one pickle.

    Args:
        reader: see `Reader`.
        path: the file, for messages.
        what: describes the content, for messages.
        leaves: see `Plain`.

    Raises:
        InputError: the pickle is damaged, or names something that is not allowed; the message lists all such names.
    """
    damage = ""
    value = None
    try:
        value = Plain(limit_of(reader.size), leaves).of(reader.load())[0]
    except Exception as error:  # a damaged file can raise any exception at any opcode
        damage = " ".join(str(error).split())[:200] or type(error).__name__
    if reader.refused:
        names = sorted(reader.refused)
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise InputError(f"{path}: refused: the pickle names {', '.join(names[:10])}{more}; only {what}")
    if damage:
        raise InputError(f"{path}: not a pickle that can be read: {damage}")
    return value


def load_pickle(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle of numeric NumPy arrays, numbers, text and plain containers, of any protocol.

    Args:
        path: the file. Python 2's text is read as latin1.
        max_bytes: a larger file is refused before it is read.

    Returns:
        The value, with read-only arrays; OrderedDict and defaultdict become dict.

    Raises:
        InputError: the file is absent, too large, damaged, or names anything other than arrays and containers.
    """
    refuse_special(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(f"{path}: {size} bytes, more than the {max_bytes} that a pickle may have")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    what = "NumPy arrays and plain containers are read, and there is no unsafe fallback: "
    what += "save the data in another format, e.g. CSV"
    return read_value(Reader(io.BytesIO(data)), path, what=what)

"""Read a described configuration so that an unknown key is an error and none is silently ignored."""

from collections.abc import Mapping
from typing import Any, NoReturn

from pipeline.base.errors import InputError


class Checked:
    """Reads a mapping key by key; `finish` raises an error for keys that were not read.

    Every error is an `InputError` that names the key, its value and what is supported.
    """

    def __init__(self, values: Any, where: str) -> None:
        """Read from `values`, which messages call `where`."""
        if not isinstance(values, Mapping):
            raise InputError(f"{where} is {values!r}, expected a mapping")
        self.values, self.where = dict(values), where
        self._blocks: list[Checked] = []

    def take(self, key: str) -> Any:
        """Return the value of a key, which is then read.

        Raises:
            InputError: the key is missing.
        """
        if key not in self.values:
            raise InputError(f"{self.where}.{key} is missing")
        return self.values.pop(key)

    def integer(self, key: str, least: int = 1) -> int:
        """Return the value of a key, which must be an integer of at least `least`."""
        value = self.take(key)
        if type(value) is not int or value < least:
            self.refuse(key, value, f"a whole number of at least {least}")
        return int(value)

    def flag(self, key: str) -> bool:
        """Return the value of a key, which must be true or false."""
        return bool(self.one_of(key, True, False))

    def one_of(self, key: str, *supported: Any) -> Any:
        """Return the value of a key, which must be there and be one of `supported`."""
        value = self.take(key)
        if not _among(value, supported):
            self.refuse(key, value, " or ".join(_shown(each) for each in supported))
        return value

    def fixed(self, key: str, *supported: Any) -> None:
        """Check that a key has one of the supported values; an absent key means the first of them."""
        if key in self.values:
            self.one_of(key, *supported)

    def without_effect(self, *keys: str) -> None:
        """Skip keys without effect on what a fixture measures: how a model is trained, or its name."""
        for key in keys:
            self.values.pop(key, None)

    def block(self, key: str) -> "Checked":
        """Return the mapping below a key."""
        block = Checked(self.take(key), f"{self.where}.{key}")
        self._blocks.append(block)
        return block

    def finish(self) -> None:
        """Check that every key was read, here and in the blocks.

        Raises:
            InputError: a key was not read.
        """
        for key, value in self.values.items():
            raise InputError(f"{self.where}.{key} is {_shown(value)}, which is not known here")
        for block in self._blocks:
            block.finish()

    def refuse(self, key: str, value: Any, supported: str) -> NoReturn:
        """Raise the error of a value that is not supported.

        Raises:
            InputError: always; it names the key, its value and what is supported.
        """
        raise InputError(f"{self.where}.{key} is {_shown(value)}, supported: {supported}")


def _among(value: Any, supported: tuple[Any, ...]) -> bool:
    # True is not 1: a flag in place of a number is an error.
    return any(value == each and (type(value) is bool) == (type(each) is bool) for each in supported)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

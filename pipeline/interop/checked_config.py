"""A described configuration whose every key must be understood: none is silently ignored."""

from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import InputError


class Checked:
    """Reads a mapping key by key and, at the end, refuses the keys that nobody read.

    Every error is an `InputError` that names the key, its value and what is supported.
    """

    def __init__(self, values: Any, where: str) -> None:
        """Read `values`, which messages call `where`."""
        if not isinstance(values, Mapping):
            raise InputError(f"{where} is {values!r}, expected a mapping")
        self.values, self.where = dict(values), where
        self._blocks: list[Checked] = []

    def take(self, key: str) -> Any:
        """The value of a key that must be there."""
        if key not in self.values:
            raise InputError(f"{self.where}.{key} is missing")
        return self.values.pop(key)

    def integer(self, key: str, least: int = 1) -> int:
        """The value of a key that must be a whole number, at least `least`."""
        value = self.take(key)
        if type(value) is not int or value < least:
            self.refuse(key, value, f"a whole number of at least {least}")
        return int(value)

    def flag(self, key: str) -> bool:
        """The value of a key that must be true or false."""
        return bool(self.one_of(key, True, False))

    def one_of(self, key: str, *supported: Any) -> Any:
        """The value of a key that must be there and one of `supported`."""
        value = self.take(key)
        if not _among(value, supported):
            self.refuse(key, value, " or ".join(_shown(each) for each in supported))
        return value

    def fixed(self, key: str, *supported: Any) -> None:
        """Refuse a key whose value is not among the supported ones; it may be absent, which means the first."""
        if key in self.values:
            self.one_of(key, *supported)

    def without_effect(self, *keys: str) -> None:
        """Keys that change nothing that a fixture measures: how a model is trained, or what it is called."""
        for key in keys:
            self.values.pop(key, None)

    def block(self, key: str) -> "Checked":
        """The mapping below a key."""
        block = Checked(self.take(key), f"{self.where}.{key}")
        self._blocks.append(block)
        return block

    def finish(self) -> None:
        """Refuse what nobody read, here and in the blocks."""
        for key, value in self.values.items():
            raise InputError(f"{self.where}.{key} is {_shown(value)}, which is not known here")
        for block in self._blocks:
            block.finish()

    def refuse(self, key: str, value: Any, supported: str) -> None:
        """Raise the error of a value that is not supported."""
        raise InputError(f"{self.where}.{key} is {_shown(value)}, supported: {supported}")


def _among(value: Any, supported: tuple[Any, ...]) -> bool:
    # True is not 1: a flag in place of a number is another thing.
    return any(value == each and (type(value) is bool) == (type(each) is bool) for each in supported)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

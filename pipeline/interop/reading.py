"""Turn what may go wrong while a file is read into one message that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.errors import InputError

BROKEN = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"What a fixture that lacks something, or holds something else, may raise where it is read."


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let every `InputError` of the block begin with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise every error of a block that reads a fixture as an `InputError` that begins with the path."""
    with naming(path):
        try:
            yield
        except BROKEN as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"not a whole fixture: {type(error).__name__} {reason}") from None

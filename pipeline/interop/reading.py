"""Turn what may go wrong while a fixture is read into one message that names its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.errors import InputError

BROKEN = (ArithmeticError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"What a fixture that lacks something, or holds something else, may raise where it is read."


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise every error of the block as an `InputError` that begins with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a whole fixture: {type(error).__name__} {reason}") from None

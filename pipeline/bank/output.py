"""Where a command puts a bank that it makes: nothing is overwritten unasked, nothing half is left."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.bank.format import MANIFEST
from pipeline.base.errors import InputError
from pipeline.base.files import owner_name


def check_new_bank(path: Path, *, force: bool) -> None:
    """Refuse a place that is taken; with `force` a bank may be replaced, and nothing else.

    Raises:
        InputError: see above.
    """
    if not path.exists():
        return
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path}: is there and no bank, so it is not replaced")
    if not force:
        raise InputError(f"{path}: is there; --force replaces it")


def check_new_file(path: Path, *, force: bool) -> None:
    """Refuse a place that is taken; with `force` a file may be replaced, and nothing else.

    Raises:
        InputError: see above.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file")
    if path.exists() and not force:
        raise InputError(f"{path}: is there; --force replaces it")


@contextlib.contextmanager
def parts_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` for the parts that a bank is assembled of; it is removed in the end.

    What a killed process left of it, `replace_folder` removes by its name when the bank is made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{owner_name()}.parts.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

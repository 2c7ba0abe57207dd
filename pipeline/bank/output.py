"""The place for a new bank: nothing is overwritten unless the user asks, and no half-written bank remains."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.bank.format import MANIFEST
from pipeline.base.errors import InputError
from pipeline.base.files import owner_name


def check_new_bank(path: Path, *, force: bool) -> None:
    """Check that the place for a new bank is free; with `force` an existing bank may be replaced, nothing else.

    Raises:
        InputError: the place is taken.
    """
    if not path.exists():
        return
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path}: is there and no bank, so it is not replaced")
    if not force:
        raise InputError(f"{path}: is there; --force replaces it")


def check_new_file(path: Path, *, force: bool) -> None:
    """Check that the place for a new file is free; with `force` an existing file may be replaced, nothing else.

    Raises:
        InputError: the place is taken, or is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file")
    if path.exists() and not force:
        raise InputError(f"{path}: is there; --force replaces it")


@contextlib.contextmanager
def parts_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` for the parts that a bank is assembled from; it is removed at the end.

    If the process is killed, the folder stays until `replace_folder` makes the same bank again and removes it by name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.{owner_name()}.parts.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

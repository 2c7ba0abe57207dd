"""Files that are either whole or absent: atomic writes, canonical JSON, digests, hard-linked trees."""

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.faults import about


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes `path`'s name.

    Args:
        path: the file to be made; its folder is created. An existing file is replaced whole, so a hard link
            to the old bytes keeps them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    except OSError as error:
        error.filename = str(path)  # nobody knows the temporary name
        raise
    os.close(handle)
    partial = Path(name)
    try:
        with about(path, instead_of=partial):
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _finite(value.tolist())
    return value


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """The one JSON form of `value`: sorted keys, two spaces, non-finite numbers as null, a final newline.

    With `indent` None it is one line.
    """
    return json.dumps(_finite(value), sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically in the form of `json_text`."""
    write_text(path, json_text(value))


def special_kind(path: Path) -> str:
    """What stands at a path in place of a file, in words: a pipe, a socket, a device, a link to nothing.

    Empty for a file, a folder, or nothing at all. To open a pipe waits for somebody who writes, for ever.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if not path.is_symlink():
            return ""
        return "a link in a circle" if error.errno == errno.ELOOP else "a link to nothing"
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "")


def refuse_special(path: Path) -> None:
    """Refuse to open what is no file.

    Raises:
        InputError: a pipe, a socket, a device or a link to nothing stands there.
    """
    if kind := special_kind(path):
        raise InputError(f"{path}: is {kind}, expected a file")


def is_unicode(name: Path) -> bool:
    """Whether a name is text, which tables, reports and terminals can take; on disk it may be any bytes."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is absent, no file or not JSON.
    """
    refuse_special(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    return parse_json(data, str(path))


def parse_json(data: bytes, where: str) -> Any:
    """The value of a JSON file's bytes.

    Raises:
        InputError: they are not UTF-8, or not JSON; the message begins with `where`.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
        if b"\\ud" in data or b"\\uD" in data:  # may be half a character, which no file and no table can take
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise InputError(f"{where}: not JSON that is read: lists or objects are nested too deeply") from None
    except ValueError as error:  # no Unicode, no JSON, or a whole number of thousands of digits
        raise InputError(f"{where}: not JSON: {error}") from None


def digest_value(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, relative to it, in sorted order."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def visible_files(root: Path) -> Iterator[Path]:
    """All that is no folder below `root` and not hidden, in no order.

    Links to folders are followed; a folder that is linked twice, or in a circle, counts once. A link to nothing is
    among them.

    Raises:
        InputError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: {error.strerror}; its files would be missing")

    seen = set()
    for folder, below, names in os.walk(root, followlinks=True, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def digest_tree(folder: Path) -> str:
    """sha256 (hex) over the names and bytes of every file below `folder`."""
    return digest_value({str(name): digest_file(folder / name) for name in files_below(folder)})


def link_file(source: Path, target: Path) -> None:
    """Make `target` a hard link of `source`, or a copy where links do not reach."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Hard-link every file below `source` to the same place below `target`."""
    for name in files_below(source):
        link_file(source / name, target / name)


def _clear_killed(folder: Path) -> None:
    """Remove what killed processes of this machine left of `folder`."""
    for rest in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        owner = rest.name.removeprefix(f".{folder.name}.").split(".")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(rest, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # it lives, or is no folder of ours


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes `folder`'s name and place.

    Until then `folder` is absent or as it was, so a killed stage leaves no out that looks whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_killed(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with about(folder, instead_of=partial):
            yield partial
        if folder.exists():  # moved aside first: a removal that is killed must not leave a rest under the name
            folder.replace(replaced)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)

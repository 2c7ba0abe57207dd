"""Files that are either whole or absent: atomic writes, canonical JSON, digests, hard-linked trees."""

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.faults import about
from pipeline.base.processes import process_status

# A process id is unique within one machine (or container) only, and several machines may share a folder.
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
OWNER = re.compile(r"\.(\d+)(?:-([0-9a-f]{8}))?\.(?:[^.]+\.)?partial$")
"The process and machine that a `.partial` file belongs to; a name without a machine belongs to this one."

LISTED_EACH = 64  # entries that are listed for each item that is made


@contextlib.contextmanager
def atomic_path(path: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it to disk and rename it to `path`.

    Args:
        path: the file to be made; its folder is created. An existing file is replaced as a whole, so a hard link
            to the old bytes keeps them.
        read_only: protect the file from accidental writes. For files that stages hand on: DVC's cache shares their
            bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not any(part.endswith(".partial") for part in path.parts):  # else the folder is new: nothing to clear
        _clear_killed(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{owner_name()}.", suffix=".partial")
    except OSError as error:
        error.filename = str(path)  # nobody knows the temporary name
        raise
    os.close(handle)
    partial = Path(name)
    try:
        with about(path, instead_of=partial):
            yield partial
            sync_file(partial)
            partial.chmod(0o444 if read_only else 0o644)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on disk, so that no power cut can leave its name without its bytes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, data: bytes, *, read_only: bool = False) -> None:
    """Write `data` atomically."""
    with atomic_path(path, read_only=read_only) as partial:
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
    """Return the canonical JSON of `value`: sorted keys, two spaces, non-finite numbers as null, a final newline.

    With `indent` None it is one line.
    """
    return json.dumps(_finite(value), sort_keys=True, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically in the form of `json_text`."""
    write_text(path, json_text(value))


def special_kind(path: Path) -> str:
    """Return in words what stands at a path instead of a file: a pipe, a socket, a device, a link to nothing.

    Return the empty string for a file, a folder, or nothing at all. Callers ask before they open a path, because
    opening a pipe blocks until somebody writes to it.
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
    """Check that a path can be opened as a file.

    Raises:
        InputError: a pipe, a socket, a device or a link to nothing stands there.
    """
    if kind := special_kind(path):
        raise InputError(f"{path}: is {kind}, expected a file")


def is_unicode(name: Path) -> bool:
    """Return whether a name is valid text, as tables, reports and terminals need; on disk a name may be any bytes."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is absent, is not a regular file, or is not JSON.
    """
    return parse_json(path_bytes(path), str(path))


def path_bytes(path: Path) -> bytes:
    """Read a file's bytes.

    Raises:
        InputError: there is no such file, or it is not a regular file.
    """
    refuse_special(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def parse_json(data: bytes, where: str) -> Any:
    """Parse the bytes of a JSON file.

    Raises:
        InputError: they are not UTF-8, or not JSON; the message begins with `where`.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
        if b"\\ud" in data or b"\\uD" in data:  # maybe half a surrogate pair, which no file or table can hold
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise InputError(f"{where}: not JSON that is read: lists or objects are nested too deeply") from None
    except ValueError as error:  # not Unicode, not JSON, or an integer of thousands of digits
        raise InputError(f"{where}: not JSON: {error}") from None


def digest_value(value: Any) -> str:
    """Compute the sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()


def digest_file(path: Path, kind: str = "sha256") -> str:
    """Compute the digest (hex) of a file's bytes; `kind` is a name that `hashlib` knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def files_below(folder: Path) -> list[Path]:
    """List every file below `folder`, relative to it, in sorted order."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def visible_files(root: Path) -> Iterator[Path]:
    """Yield everything below `root` that is neither a folder nor hidden, in no order; see `visible_folders`."""
    for folder, names in visible_folders(root):
        yield from (folder / name for name in names)


def visible_folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield `root` and every visible folder below it, each with the names of its visible entries that are not folders.

    Links to folders are followed; a folder that is reached twice (by two links, or in a circle) is yielded once. A link
    to nothing is among the names. The names are in no order.

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
        yield Path(folder), [name for name in names if not name.startswith(".")]


def digest_tree(folder: Path) -> str:
    """Compute the sha256 (hex) over the names and bytes of every file below `folder`."""
    return digest_value({str(name): digest_file(folder / name) for name in files_below(folder)})


def link_file(source: Path, target: Path) -> None:
    """Make `target` a hard link of `source`, or a copy where the file system allows no link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Hard-link every file below `source` to the same place below `target`."""
    for name in files_below(source):
        link_file(source / name, target / name)


def owner_name() -> str:
    """Return the id of this process, as it stands in the names of its unfinished files."""
    return f"{os.getpid()}-{HOST}"


def is_rest(path: Path) -> bool:
    """Return whether this is a `.partial` that an ended process of this machine left."""
    owner = OWNER.search(path.name)
    if not path.name.startswith(".") or owner is None or owner[2] not in (None, HOST):
        return False
    try:
        os.kill(int(owner[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False  # the process exists and belongs to another user
    return process_status(int(owner[1]))[0] == "Z"  # a zombie: killed, but its parent has not waited for it


def delete(path: Path) -> None:
    """Delete a file, a link or a folder as far as possible. Only for paths whose presence means nothing to anybody."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@dataclass
class _Listing:
    """The unfinished entries of a folder, when it was listed last."""

    partials: list[str]
    entries: int
    "How many entries of any kind there were."
    asked: int = 0
    "How often the listing was used."


_listings: dict[Path, _Listing] = {}


def _clear_killed(path: Path) -> None:
    """Remove the unfinished `.partial` files of `path` that killed processes of this machine left."""
    for name in _partials(path.parent):
        rest = path.with_name(name)
        if OWNER.fullmatch(name.removeprefix(f".{path.name}")) and is_rest(rest):
            delete(rest)


def _partials(folder: Path) -> list[str]:
    """Return the names in a folder that end in `.partial`; those of a large folder may be of some calls before.

    A folder of n entries is listed once in n / `LISTED_EACH` calls. A listing at every call would make the cost of n
    items in one folder of `.work` grow with the square of n.
    """
    known = _listings.get(folder)
    if known is None or known.asked * LISTED_EACH >= known.entries:
        names = [entry.name for entry in os.scandir(folder)]
        known = _Listing([name for name in names if name.endswith(".partial")], len(names))
        if len(names) > LISTED_EACH:  # a small one is listed at every call
            _listings[folder] = known
    known.asked += 1
    return known.partials


def remove_folder(folder: Path) -> None:
    """Remove a folder whose presence means that it is complete; do nothing where there is none.

    The folder is renamed first, so that a removal that is killed leaves no half of it under its name.
    """
    aside = folder.with_name(f".{folder.name}.{owner_name()}.old.partial")
    delete(aside)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
    delete(aside)


def remove_path(path: Path) -> None:
    """Remove a file, or a folder as `remove_folder` does."""
    if path.is_dir() and not path.is_symlink():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def check_own(path: Path, own: Sequence[str]) -> None:
    """Check that a folder holds only what the same command wrote; an empty or absent folder passes.

    Args:
        path: the folder that a command is about to replace.
        own: names that the command writes, relative to the folder, as patterns in which a star matches no slash. The
            first one identifies the command's folder: a folder with other files and without it is refused.

    Raises:
        InputError: the folder holds something else; the message names it.
    """
    if not path.exists():
        return
    advice = "so it is not replaced; move it away, or choose another place"
    if not path.is_dir():
        raise InputError(f"{path}: is no folder, {advice}")
    first, is_told = "", False
    for name in _names_below(path):  # stops at the first foreign name: the folder may be a whole disk
        if not any(_matches(name, each) for each in own):
            raise InputError(f"{path}: holds {name}, which this command does not write, {advice}")
        first, is_told = first or name, is_told or _matches(name, own[0])
    if first and not is_told:
        raise InputError(f"{path}: holds {first} and no {own[0]}, as this command writes it, {advice}")


def _names_below(root: Path) -> Iterator[str]:
    """Yield the files and links below a folder, relative to it; a folder's own come before those of its subfolders."""
    for folder, below, names in os.walk(root):
        below.sort()
        links = [name for name in below if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(folder, name).relative_to(root).as_posix()


def check_report(path: Path, *keys: str) -> None:
    """Check that a path is free, or holds an earlier JSON report of the same kind.

    Args:
        path: the file that a command is about to write.
        keys: keys that every such report has.

    Raises:
        InputError: the path is a folder, or a file that is not JSON with these keys.
    """

    def is_own(data: bytes) -> bool:
        try:
            found = parse_json(data, "")
        except (InputError, RecursionError):
            return False
        return isinstance(found, dict) and set(keys) <= set(found)

    check_own_file(path, is_own)


def check_own_file(path: Path, is_own: Callable[[bytes], bool]) -> None:
    """Check that a path is free, or holds a file that the same command wrote.

    Args:
        path: the file that a command is about to write.
        is_own: returns whether bytes are what the command writes.

    Raises:
        InputError: the path is a folder, or another file.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file")
    if path.exists() and not (path.is_file() and is_own(path.read_bytes())):
        raise InputError(
            f"{path}: is there and not what this command writes, so it is not replaced; choose another name"
        )


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


@contextlib.contextmanager
def replace_folder(folder: Path, own: Sequence[str] = ()) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success rename it to `folder`.

    Until then `folder` is absent or unchanged, so a killed stage leaves no out that looks complete.

    Args:
        folder: the folder to be made or replaced.
        own: see `check_own`. Empty means no check, for folders that only this program uses (`.work`, a folder within
            one that is being made).

    Raises:
        InputError: see `check_own`.
    """
    if own:
        check_own(folder, own)
    if folder.is_symlink() or folder.name in ("", ".."):
        folder = folder.resolve()  # keep the link, replace the folder that it points to
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_killed(folder)
    partial = folder.with_name(f".{folder.name}.{owner_name()}.partial")
    replaced = folder.with_name(f".{folder.name}.{owner_name()}.old.partial")
    delete(partial)
    partial.mkdir()
    try:
        with about(folder, instead_of=partial):
            yield partial
        if folder.exists():  # moved aside first: a removal that is killed must leave no half of it under the name
            folder.replace(replaced)
        try:
            partial.replace(folder)
        except OSError:
            if replaced.exists():
                replaced.replace(folder)
            raise
    finally:
        delete(partial)
        delete(replaced)

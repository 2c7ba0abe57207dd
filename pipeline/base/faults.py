"""One-line messages for what the machine refuses (disk, permissions, limits, memory): file, cause and remedy."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from pipeline.base.errors import InputError, one_line

_SPACE = "free some space there (`actionbank work gc` drops items that no run needs) and run it again"
_MOVE = "move away what stands there and run it again"
_MEMORY = "let it have more memory (`ulimit -v`, the container's limit), or take fewer --workers or a smaller --batch"
REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "the limit on the size of files is too small: raise it (`ulimit -f unlimited`) and run it again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n 4096`), or take fewer --workers, and run it again",
    errno.ENFILE: "the machine has no more open files: end other programs, or raise fs.file-max, and run it again",
    errno.EACCES: "give this user the right to read and write it (chmod, chown) and run it again",
    errno.EPERM: "give this user the right to read and write it (chmod, chown, chattr) and run it again",
    errno.EROFS: "mount the file system so that it can be written, or work in another folder",
    errno.EISDIR: f"a folder stands where a file is expected: {_MOVE}",
    errno.ENOTDIR: f"a file stands where a folder is expected: {_MOVE}",
    errno.EEXIST: f"something stands where a folder is expected: {_MOVE}",
    errno.ENOENT: "bring it back, or run the stage that makes it (`dvc repro`)",
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: "raise the limit of processes and threads (`ulimit -u`), or take fewer --workers, and run it again",
    errno.EIO: "the disk fails or is cut off: look at `dmesg`, mend it and run it again",
    errno.ESTALE: "the network disk was remounted: run it again",
    errno.ELOOP: "links lead in a circle there: remove one",
    errno.ENAMETOOLONG: "choose a shorter name",
}
# Libraries in C++ raise errors of their own that contain the system's words.
_WORDS = {
    os.strerror(code): code
    for code in (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EROFS),
        *(errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.ESTALE),
    )
} | {
    "can't start new thread": errno.EAGAIN,
    "can't allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
    "std::bad_alloc": errno.ENOMEM,
}


@contextlib.contextmanager
def about(path: Path, *, instead_of: Path | None = None) -> Iterator[None]:
    """Within this context, make an OSError that names no file name `path`.

    The same holds for an error that names `instead_of` or a file below it: a temporary name that no user knows.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            _rename(error, path, instead_of)
        raise


def _rename(error: OSError, path: Path, instead_of: Path | None) -> None:
    """See `about`. Where the error names two files, the second one is the file that was to be written."""
    name = error.filename2 or error.filename
    name = str(path) if name is None else os.fsdecode(name) if isinstance(name, bytes | str) else str(path)
    if instead_of is not None and (name == str(instead_of) or name.startswith(f"{instead_of}{os.sep}")):
        name = str(path) + name.removeprefix(str(instead_of))
    error.filename = name


def message_of(error: BaseException) -> str | None:
    """Return the one-line message for a user; None if neither the user nor the machine caused the error (a bug)."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return _line(error.filename2 or error.filename, error.errno, error.strerror or os.strerror(error.errno))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # by name: torch is not imported
        return _line(None, errno.ENOMEM, f"out of memory{': ' if text else ''}{text[:200]}")
    if type(error).__name__ == "BrokenProcessPool":
        return _line(None, errno.ENOMEM, "a worker process was killed, as the system does when memory is used up")
    if not isinstance(error, OSError | RuntimeError | ImportError | SystemError):
        return None
    known = next((code for words, code in _WORDS.items() if words in str(error)), None)
    if known is not None:
        return _line(None, known, text[:300])
    return text[:300] if isinstance(error, OSError) and text else None


def _line(name: object, code: int, cause: str) -> str:
    file = "" if name is None else f"{shown_path(name)}: "
    remedy = REMEDIES.get(code)
    return f"{file}{cause}" + (f"; {remedy}" if remedy else "")


def shown_path(name: object) -> str:
    """Return a file's name as one line that every terminal can show: bytes that are not UTF-8 are escaped."""
    return one_line(os.fsdecode(name) if isinstance(name, bytes | str | os.PathLike) else str(name))


def one_line_hook() -> None:
    """Print errors of the machine in one line also while modules are imported; the status stays 1."""
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = message_of(error)
        if message is None:
            before(kind, error, trace)
        else:
            print(f"error: {message}", file=sys.stderr)

    sys.excepthook = tell

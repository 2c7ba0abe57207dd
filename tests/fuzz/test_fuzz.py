"""Changed files of every format: each is read or refused in one line, in bounded time and memory, with no traceback."""

import contextlib
import random
import resource
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from tests.fuzz.formats import FORMATS

FAST, SLOW = 8, 460
SECONDS = 5
MORE_BYTES = 2 << 30


class Hang(BaseException):
    """A file took too long."""


def _hang(*_: Any) -> None:
    raise Hang


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """No more than SECONDS from the last `signal.setitimer` on, and MORE_BYTES of address space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_BYTES, hard))
    before = signal.signal(signal.SIGALRM, _hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def outcome(path: Path, name: str, data: bytes) -> str:
    """`read`, `refused`, or what went wrong, with where."""
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        FORMATS[name].read(path.parent)
    except InputError as error:
        text = str(error)
        return "refused" if "\n" not in text and len(text) < 5000 else f"a message of {len(text)} characters or lines"
    except Hang:
        return f"hang of {SECONDS} s: {''.join(traceback.format_exc().splitlines()[-3:])}"
    except Exception as error:
        lines = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        return f"{type(error).__name__}: {str(error)[:100]} ({' '.join(lines[-4:])})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def fuzz(name: str, count: int, folder: Path) -> tuple[Counter[str], dict[str, bytes]]:
    """How often each outcome came, and a file of each that is wrong."""
    found: Counter[str] = Counter()
    examples: dict[str, bytes] = {}
    for beside, data in FORMATS[name].beside.items():
        (folder / beside).write_bytes(data)
    with limits():
        for seed in range(count):
            data = FORMATS[name].content.change(random.Random(f"{name} {seed}"))
            result = outcome(folder / FORMATS[name].name, name, data)
            found[result] += 1
            if result not in ("read", "refused"):
                examples.setdefault(result, data)
    return found, examples


def check(name: str, count: int, folder: Path) -> Counter[str]:
    found, examples = fuzz(name, count, folder)
    wrong = {result: examples[result][:300] for result in found if result not in ("read", "refused")}
    assert not wrong, "\n".join(f"{found[each]} x {each}: {data!r}" for each, data in wrong.items())
    return found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_unchanged_file_of_each_format_is_read(tmp_path: Path, name: str) -> None:
    for beside, data in FORMATS[name].beside.items():
        (tmp_path / beside).write_bytes(data)
    (tmp_path / FORMATS[name].name).write_bytes(FORMATS[name].content.whole)
    FORMATS[name].read(tmp_path)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_some_changed_files_of_each_format(tmp_path: Path, name: str) -> None:
    check(name, FAST, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_many_changed_files_of_each_format(tmp_path: Path, name: str) -> None:
    found = check(name, SLOW, tmp_path)
    assert found["refused"] + found["read"] == SLOW
    shutil.rmtree(tmp_path)


def test_they_are_fifteen_thousand() -> None:
    assert len(FORMATS) * SLOW >= 15_000

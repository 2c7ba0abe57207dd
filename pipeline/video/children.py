"""Run work in a child process and watch it: decoders of foreign files may hang or crash."""

import contextlib
import math
import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from pipeline.base.faults import message_of
from pipeline.base.workers import end_with_parent

# Children are forked from a small server process: a fork of this process would copy its threads' locks, and a spawn
# takes a second.
CONTEXT = multiprocessing.get_context("forkserver")
BEAT_SECONDS = 0.5
PIECES = 200
"Pieces of work after which a child that is kept is replaced, in case a decoder loses memory."


def preload(*modules: ModuleType) -> None:
    """Let the server process import the modules that children need, once for all of them."""
    CONTEXT.set_forkserver_preload([module.__name__ for module in modules])


class Beat(Protocol):
    """A function with which a child shows progress; frequent calls cost nothing."""

    def __call__(self, *, last: bool = False) -> None:
        """Show progress; after the last beat the child may be silent for any time."""


def no_beat(*, last: bool = False) -> None:
    """Do nothing: the beat of work that nobody watches."""


class ChildLost(Exception):
    """A child hung, died, or lacked disk or memory, so it is unknown whether its input is good."""


class ChildHung(ChildLost):
    """A child ran, showed no progress for too long, and was killed."""


class ChildDied(ChildLost):
    """A child's process ended without a message: an operator or the system killed it, or it crashed."""


_STARTS = threading.Lock()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module of this process, which a child that starts now would import.

    That would run a user's script once more, if it does not ask for its `__name__`, up to its own call of this.
    """
    with _STARTS:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Child:
    """A process that does one piece of work after the other."""

    def __init__(self) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_child, args=(theirs,), daemon=True)
        with _without_main():
            self.process.start()
        theirs.close()
        self.done = 0

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


class _Kept:
    """Children that wait for more work; None where each does one piece and ends."""

    idle: list[_Child] | None = None


def _idle_child() -> _Child | None:
    try:
        return _Kept.idle.pop() if _Kept.idle is not None else None
    except IndexError:
        return None


@contextlib.contextmanager
def kept_children() -> Iterator[None]:
    """Let children that did their work well do more of it, up to PIECES: a new one takes longer than a short film.

    A child that was lost is not used again. All end with the block.
    """
    _Kept.idle = []
    try:
        yield
    finally:
        idle, _Kept.idle = _Kept.idle, None
        for child in idle:
            child.end()


def run_in_child(
    work: Callable[..., None], arguments: dict[str, Any], *, silence_seconds: float, stop: threading.Event
) -> None:
    """Call `work(**arguments, beat=beat)` in a child process and wait for it.

    `work` calls `beat()` to show progress, and `beat(last=True)` when it waits for nothing but its disk. The child
    dies with this process.

    Args:
        work: a function that can be imported by its name.
        arguments: its arguments; picklable.
        silence_seconds: a child that does not beat for this long is killed; time in which this process itself was
            stopped does not count.
        stop: when set, the child is killed at once.

    Raises:
        ChildHung: the child was silent for too long.
        ChildDied: the child's process ended, by a signal or by itself.
        ChildLost: the child met an OSError or a MemoryError, its disk or an operator stopped it, or `stop` was set.
        RuntimeError: `work` raised anything else, with its traceback.
    """
    child = _idle_child() or _Child()
    is_good = False
    try:
        child.pipe.send((work, arguments))
        _watch(child, silence_seconds, stop)
        is_good = True
    except (EOFError, ConnectionError):
        child.process.join()
        raise ChildDied(_end(child.process.exitcode)) from None
    finally:
        child.done += 1
        if is_good and _Kept.idle is not None and child.done < PIECES:
            _Kept.idle.append(child)
        else:
            child.end()


def _watch(child: _Child, silence_seconds: float, stop: threading.Event) -> None:
    """Wait for the end of a piece of work."""
    left, last = silence_seconds, time.monotonic()
    while True:
        if stop.is_set():
            raise ChildLost("stopped")
        if child.pipe.poll(BEAT_SECONDS):
            kind, text = child.pipe.recv()
            left = math.inf if kind == "last beat" else silence_seconds
            if kind == "done":
                return
            if kind == "lost":
                raise ChildLost(text)
            if kind == "raised":
                raise RuntimeError(text)
        elif left < 0:
            if held := _held(child.process.pid):
                raise ChildLost(f"no new frame for {silence_seconds:g} s: {held}")
            raise ChildHung(f"no new frame for {silence_seconds:g} s")
        now = time.monotonic()
        left -= min(now - last, 2 * BEAT_SECONDS)
        last = now


def _end(exitcode: int | None) -> str:
    """Describe how a process ended."""
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"its process was killed by {signal.Signals(-exitcode).name}"
        return f"its process was killed by signal {-exitcode}"
    return f"its process died with exit code {exitcode}"


def _held(pid: int | None) -> str:
    """Describe what blocks a silent process; empty if it runs, or only waits within itself."""
    states = set()
    for status in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.add(status.read_text().rpartition(")")[2].split()[0])
    if states & {"T", "t"}:
        return "its process is stopped"
    return "its disk does not answer" if "D" in states else ""


def _child(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    end_with_parent()  # in a thread, because a hung decoder would not notice
    with contextlib.suppress(EOFError, OSError):
        while True:
            work, arguments = connection.recv()
            _do(connection, work, arguments)


def _do(connection: Connection, work: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Do a piece of work, and tell how it ended."""
    last_beat = 0.0

    def beat(*, last: bool = False) -> None:
        nonlocal last_beat
        now = time.monotonic()
        if last or now - last_beat > BEAT_SECONDS:
            last_beat = now
            connection.send(("last beat" if last else "beat", ""))

    message = ("done", "")
    try:
        work(**arguments, beat=beat)
    except (OSError, MemoryError) as error:
        message = ("lost", message_of(error) or f"{type(error).__name__}: {error}")
    except BaseException:
        message = ("raised", traceback.format_exc())
    with contextlib.suppress(OSError):
        connection.send(message)

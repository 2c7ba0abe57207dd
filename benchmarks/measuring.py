"""Helpers of the bank's benchmarks: turns, fresh processes, memory, and tables of results."""

import contextlib
import functools
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in a fresh process."""
    # Not forked, so that nothing of this one is in its memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_mib() -> float:
    """Largest resident memory of this process so far; Linux only."""
    # Not getrusage: what that says of a started program begins with the peak of the process that started it.
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory_mib(pid: int | None = None) -> dict[str, float]:
    """Resident and proportional memory (pages that k processes share count 1/k) of a process now."""
    found = {"Rss": 0.0, "Pss": 0.0}
    for line in Path(f"/proc/{pid or os.getpid()}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        if name in found:
            found[name] = int(value.split()[0]) / 1024
    return {"rss": found["Rss"], "pss": found["Pss"]}


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:  # a thread has children of its own
        children = [
            each for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(each for child in children for each in tree(int(child)))]


def tree_cpu_seconds() -> float:
    """CPU seconds of this process, of those below it, and of all that these have waited for; Linux only.

    A server that forks (`forkserver`) is below this process and waits for its own children, which nobody else counts.
    """
    ticks = 0
    for pid in tree(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(each) for each in after_name[11:15])  # user and system time, its own and its children's
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_of(function: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(sides: Mapping[str, Callable[[int], Any]], repeats: int) -> dict[str, list[float]]:
    """Wall times of each side, which is told the turn, after turn 0, which does not count unless it is the only one."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            seconds = seconds_of(functools.partial(sides[name], turn))
            if turn or not repeats:
                times[name].append(seconds)
    return times


def median_ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Median over the turns of the ratio to the other side in the same turn."""
    return statistics.median(one / other for one, other in zip(times, base, strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

"""Measure the time and memory of loading a bank; each function is run in a fresh process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bank_reference import load_reference
from benchmarks.measuring import memory_mib, peak_mib, seconds_of
from pipeline.bank.reader import open_bank
from pipeline.bank.windows.resident import ResidentWindows, resident_file
from pipeline.bank.windows.streamed import StreamedWindows
from pipeline.base.files import files_below

SCORE = 0.9


@dataclass(frozen=True)
class Paths:
    """What is loaded."""

    bank: Path
    reference: Path
    flat: Path  # what `resident_file` made


def load_mapped(paths: Paths) -> Any:
    """The resident tensor over the mapped flat file, as a stage gets it, every page of it read."""
    banks = [open_bank(paths.bank)]
    windows = ResidentWindows(banks, min_score=SCORE, file=resident_file(banks, min_score=SCORE))
    windows.features[:, 0].sum()  # a row of 2,048 halves is a page
    return windows


def load_read(paths: Paths) -> Any:
    """The resident tensor, read from the bank's parts into memory."""
    return ResidentWindows([open_bank(paths.bank)], min_score=SCORE)


def load_pickle(paths: Paths) -> Any:
    """The reference."""
    return load_reference(paths.reference)


def load_plain(paths: Paths) -> Any:
    """The bytes of the rows and nothing else: what the disk, or the page cache, gives."""
    content = np.empty(paths.flat.stat().st_size, np.uint8)
    with paths.flat.open("rb", buffering=0) as file:
        view, done = content.data, 0
        while done < len(view):
            done += file.readinto(view[done:])
    return content


LOADERS: dict[str, Callable[[Paths], Any]] = {
    "reference": load_pickle,
    "resident, mapped": load_mapped,
    "resident, read": load_read,
    "plain read": load_plain,
}


def drop_from_cache(*places: Path) -> None:
    """Ask the system to forget the files at (or below) these places, so that the disk is read again."""
    for place in places:
        for path in [place / name for name in files_below(place)] if place.is_dir() else [place]:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def touch(*places: Path) -> None:
    """Read the files at (or below) these places, so that they are in the page cache."""
    for place in places:
        for path in [place / name for name in files_below(place)] if place.is_dir() else [place]:
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass


def load(name: str, paths: Paths, cold: bool) -> dict[str, float]:
    """Seconds and added peak memory of one way to load, in this fresh process."""
    if cold:
        drop_from_cache(paths.bank, paths.reference, paths.flat)
    else:
        touch(paths.bank, paths.reference, paths.flat)
    before = memory_mib()["rss"]
    kept = []
    seconds = seconds_of(lambda: kept.append(LOADERS[name](paths)))
    return {"seconds": seconds, "peak_mib": peak_mib() - before, "rss_mib": memory_mib()["rss"] - before}


def _worker(name: str, paths: Paths, barrier: Barrier, found: "Queue[dict[str, float]]") -> None:
    before = memory_mib()
    kept = LOADERS[name](paths)
    barrier.wait()
    after = memory_mib()
    found.put({kind: after[kind] - before[kind] for kind in after})
    barrier.wait()
    del kept


def together(name: str, paths: Paths, workers: int) -> dict[str, float]:
    """Added memory (RSS and PSS, MiB) of so many processes that hold the bank at the same time, summed."""
    context = get_context("spawn")
    barrier, found = context.Barrier(workers), context.Queue()
    processes = [context.Process(target=_worker, args=(name, paths, barrier, found)) for _ in range(workers)]
    for process in processes:
        process.start()
    memory = [found.get() for _ in processes]
    for process in processes:
        process.join()
    return {kind: sum(each[kind] for each in memory) for kind in memory[0]}


def stream_all(bank: Path, cache_mib: float) -> dict[str, float]:
    """Peak memory of this fresh process when a window of every film of a bank has been read through a small cache."""
    opened = open_bank(bank)
    windows = StreamedWindows([opened], min_score=SCORE, cache_bytes=int(cache_mib * 2**20))
    for video in opened.videos:
        at = opened.timestamps_seen(video)
        windows.gather(windows.slots([video], at[len(at) // 2 : len(at) // 2 + 1], seconds=60, per_second=5))
    return {"films": len(opened.videos), "peak_mib": peak_mib()}

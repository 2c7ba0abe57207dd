"""What a Ray cluster costs for each item, in CPU time of all its processes, and what the driver holds.

    ACTIONBANK_EXECUTOR=ray python -m benchmarks.ray_items 200 1000 10000
    ACTIONBANK_EXECUTOR=threads python -m benchmarks.ray_items 200 1000 10000 --files

Sends so many items that take no time, one number after the other, each through an executor of its own, and prints a
line of JSON for each: the CPU seconds of this process and of the processes below it, and the memory of this process.
Differences between two numbers of items are free of the start of a cluster. With `--files` each item is a file in
`.work` of a temporary folder.
"""

import argparse
import gc
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measuring import memory_mib, tree_cpu_seconds
from pipeline.base.executors import EXECUTOR, item_executor
from pipeline.base.make_items import ItemExecutor, Job, Needs, make_items
from pipeline.base.progress import no_bars
from pipeline.base.shared_items import Make, share_items


def work(seconds: float) -> None:
    """Compute for so many seconds of CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def make_nothing(job: Job) -> None:
    work(job.given)


def load_writer() -> Make:
    def write(given: float, folder: Path) -> None:
        work(given)
        (folder / "made.txt").write_text("made\n")

    return write


def send(count: int, executor: ItemExecutor, *, seconds: float, files: bool) -> None:
    if files:
        keys = {f"item-{number}": f"{number:040d}" for number in range(count)}
        given = dict.fromkeys(keys, seconds)
        share_items("tiny", keys, given, load_writer, executor=executor, what="tiny", unit="item")
    else:
        jobs = (Job(f"item-{number}", seconds) for number in range(count))
        make_items(make_nothing, jobs, count=count, executor=executor, what="tiny", unit="item")


def measure(count: int, *, threads: int, seconds: float, files: bool, actors: bool) -> dict[str, float | int | str]:
    """Send items once, and return what it took."""
    needs = Needs(module="pipeline.base.make_items", keeps_model=actors)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        began, cpu, own = time.monotonic(), tree_cpu_seconds(), time.process_time()
        with item_executor(threads, needs) as executor:
            send(count, executor, seconds=seconds, files=files)
            gc.collect()
            found = {"cpu_s": tree_cpu_seconds() - cpu, "driver_cpu_s": time.process_time() - own}
            found |= {"wall_s": time.monotonic() - began, "driver_mib": memory_mib()["rss"]}
    kind = os.environ.get(EXECUTOR, "threads")
    return {"executor": kind, "items": count, **{name: round(value, 2) for name, value in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=int, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.0, help="CPU time of an item")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--actors", action="store_true", help="as items that need a model")
    given = parser.parse_args()
    once = partial(measure, threads=given.threads, seconds=given.seconds, files=given.files, actors=given.actors)
    with no_bars():
        for count in given.items:
            print(json.dumps(once(count)), flush=True)


if __name__ == "__main__":
    main()

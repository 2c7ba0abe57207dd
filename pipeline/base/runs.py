"""Records of runs: when, where, how long and with what outcome each stage ran, one small file per run in `.work/runs`.

They belong to no out, and no stage reads them. `actionbank runs` shows them, and `actionbank status` uses them to
estimate how long the next run will take.
"""

import contextlib
import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.base.files import HOST, read_json, write_json
from pipeline.base.processes import process_born
from pipeline.base.ranks import is_main, world_size
from pipeline.base.work import work_root

MOST_RECORDS = 500  # per stage; the oldest are deleted
MOST_SECONDS = 1e11  # larger times fit no calendar
OUTCOMES = ("finished", "failed", "killed", "running")


@contextlib.contextmanager
def recorded_run(stage: str, variant: str, *, dataset: str = "", **known: Any) -> Iterator[dict[str, Any]]:
    """Record a run of a stage in a file of its own, at its start and at its end.

    If the run is killed, the record of its start stays. With several processes of a stage, rank 0 writes.

    Args:
        stage: its name.
        variant: the split, backbone or head that it ran for; times of one variant are comparable.
        dataset: name of the data set.
        known: counts that are known at the start (`epochs`, `items`).

    Yields:
        A dictionary; what the stage puts into it (counts, hardware settings) is written at the end.
    """
    extra: dict[str, Any] = {}
    started = time.time()
    record = {**known, "stage": stage, "variant": variant, "dataset": dataset, "started": started}
    record |= {
        "host": platform.node(),
        "processes": world_size(),
        "pid": os.getpid(),
        "born": process_born(os.getpid()),
    }
    record["experiment"] = os.environ.get("DVC_EXP_NAME", "")
    path = work_root() / "runs" / stage / f"{int(started * 1e6):016d}-{os.getpid()}-{HOST}.json"
    if is_main():
        write_json(path, {**record, "outcome": "running"})
        _drop_oldest(path.parent)
    try:
        yield extra
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk ends the stage anyway, with its own message
            _write_end(path, {**extra, **record, "outcome": "failed"})
        raise
    _write_end(path, {**extra, **record, "outcome": "finished"})


def _write_end(path: Path, record: dict[str, Any]) -> None:
    if not is_main():
        return
    seconds = time.time() - record["started"]
    peak = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    more = {
        "seconds": seconds,
        "start_seconds": max(0.0, _age(os.getpid()) - seconds),
        "peak_rss_mib": {"self": peak[0] // 1024, "largest_child": peak[1] // 1024},
    }
    write_json(path, {**record, **more})


def list_runs() -> list[dict[str, Any]]:
    """Return the records of all runs, oldest first; other files in the folder are ignored.

    The `outcome` of a run that has not written its end is `running`, or `killed` if its process is gone.
    """
    records = []
    for path in (work_root() / "runs").glob("*/*.json"):
        with contextlib.suppress(InputError):
            record = read_json(path)
            if _is_record(record):
                records.append({**record, "outcome": _outcome(record)})
    return sorted(records, key=lambda record: float(record["started"]))


def seconds_to_start(record: dict[str, Any]) -> float:
    """Return the seconds before a stage's work began: Python, libraries, reading its inputs."""
    return float(record.get("start_seconds", 0.0))


def seconds_taken(record: dict[str, Any]) -> float:
    """Return the seconds from the start of a stage's process to the end of its work."""
    return seconds_to_start(record) + float(record["seconds"])


def saved_epoch(folder: Path) -> int:
    """Return the last epoch whose state is in the folder of a training in `.work`; 0 if there is none."""
    numbers = [path.name.removeprefix("epoch_") for path in folder.glob("epoch_*") if path.is_dir()]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def _drop_oldest(folder: Path) -> None:
    for path in sorted(folder.glob("*.json"))[:-MOST_RECORDS]:
        path.unlink(missing_ok=True)


def _is_record(value: Any) -> bool:
    """Return whether a file has the keys that `recorded_run` writes of every run, with numbers and text in them."""
    if not isinstance(value, dict) or not all(isinstance(value.get(each), str) for each in ("stage", "host")):
        return False
    if not all(isinstance(value.get(each, ""), str) for each in ("variant", "dataset", "experiment")):
        return False
    if value.get("outcome", "finished") not in OUTCOMES:
        return False
    numbers = [value.get("started")]
    if value.get("outcome") != "running":
        peak = value.get("peak_rss_mib")
        numbers += [value.get("seconds"), *(peak.values() if isinstance(peak, dict) and peak else [None])]
    numbers += [value[each] for each in ("epochs", "saved_epochs", "items", "new", "start_seconds") if each in value]
    return all(isinstance(each, int | float) and abs(each) < MOST_SECONDS for each in numbers)


def _outcome(record: dict[str, Any]) -> str:
    """Return the recorded outcome; a recorded `running` is checked against the processes of this machine."""
    outcome = str(record.get("outcome", "finished"))
    if outcome == "running" and record["host"] == platform.node() and not _runs(record.get("pid"), record.get("born")):
        return "killed"
    return outcome


def _runs(pid: Any, born: Any) -> bool:
    """Return whether the process is alive and is the same one: a later process may have its number."""
    return bool((process_born(pid) if isinstance(pid, int) else None) == born)


def _age(pid: int) -> float:
    """Return the seconds since a process began; 0 if unknown."""
    born = process_born(pid)
    return 0.0 if born is None else time.clock_gettime(time.CLOCK_BOOTTIME) - born / os.sysconf("SC_CLK_TCK")

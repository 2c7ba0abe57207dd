"""Worker processes: order, errors, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.workers import map_in_processes

REPOSITORY = Path(__file__).resolve().parent.parent


def process_of(item: int) -> tuple[int, int]:
    time.sleep(0.05 * (item == 0))
    return item, os.getpid()


def fails_at_two(item: int) -> int:
    if item == 2:
        raise ValueError("item 2 is bad")
    return item


def sleeps(item: Path) -> None:
    (item / f"{os.getpid()}.pid").touch()
    time.sleep(60)


def test_results_come_in_order_from_other_processes() -> None:
    results = list(map_in_processes(process_of, range(6), workers=2))
    assert [item for item, _ in results] == list(range(6))
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.parametrize(("items", "workers"), [(range(4), 1), (range(1), 3), (range(0), 3)])
def test_one_worker_or_one_item_stays_in_this_process(items: range, workers: int) -> None:
    results = list(map_in_processes(process_of, items, workers=workers))
    assert results == [(item, os.getpid()) for item in items]


def test_the_first_error_is_raised() -> None:
    results = map_in_processes(fails_at_two, range(40), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="item 2 is bad"):
        next(results)


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path\n"
        "from pipeline.workers import map_in_processes\n"
        "from tests.test_workers import sleeps\n"
        f"if __name__ == '__main__':\n    list(map_in_processes(sleeps, [Path({str(tmp_path)!r})] * 3, workers=2))\n"
    )
    parent = subprocess.Popen([sys.executable, str(program)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    try:
        workers = wait_for(lambda: sorted(int(path.stem) for path in tmp_path.glob("*.pid")), count=2)
        assert all(Path(f"/proc/{worker}").exists() for worker in workers)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 20
    while (left := [worker for worker in workers if alive(worker)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def alive(process: int) -> bool:
    try:
        # The third field; a zombie has ended and only waits to be counted.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(look: Callable[[], list[int]], *, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(found := look()) < count:
        assert time.monotonic() < deadline, f"{found} after 60 s, expected {count}"
        time.sleep(0.05)
    return found


def test_without_shared_memory_one_process_does_the_work() -> None:
    code = "from pipeline.workers import map_in_processes; print(list(map_in_processes(abs, [-1, 2, -3], workers=2)))"
    command = f"mount -t tmpfs -o size=4k tmpfs /dev/shm && exec {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3]\n")
    assert done.stderr.startswith(
        "warning: no worker processes can be had, one works alone: /dev/shm: No space left on device; free some space"
    )

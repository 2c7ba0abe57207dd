"""Worker processes: order, errors, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base import workers
from pipeline.base.errors import InputError
from pipeline.base.workers import map_in_processes

REPOSITORY = Path(__file__).resolve().parent.parent.parent


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
        "from pipeline.base.workers import map_in_processes\n"
        "from tests.base.test_workers import sleeps\n"
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


def kill_own_process_once(mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(mark.name)


def kill_own_process(mark: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_work_of_a_worker_that_was_killed_is_done_again(tmp_path: Path) -> None:
    marks = [tmp_path / name for name in ("a", "be", "sea")]
    marks[0].touch()
    marks[2].touch()
    assert list(map_in_processes(kill_own_process_once, marks, workers=2)) == [1, 2, 3]


def test_a_worker_that_is_killed_again_ends_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        list(map_in_processes(kill_own_process, [tmp_path / "a", tmp_path / "b"], workers=2))
    assert str(error.value) == (
        "a worker process was killed, twice (no memory is the usual cause); run it again with fewer workers"
    )


WAITS = "import os, sys, time; import stages; print(os.getpid(), flush=True); time.sleep(100)"


def test_a_stage_ends_with_the_dvc_that_runs_it(tmp_path: Path) -> None:
    dvc = tmp_path / "dvc"
    dvc.write_text(
        "import os, subprocess, sys\n"
        f"run = [sys.executable, '-c', {WAITS!r}]\n"
        "subprocess.run(['sh', '-c', '\"$@\"; true', 'sh', *run], env={**os.environ, 'DVC_STAGE': 'x'})\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(dvc)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    stage = int(process.stdout.readline())
    assert alive(stage)
    process.kill()
    process.communicate()  # until nobody holds the pipe any more
    assert not alive(stage)


def test_a_stage_whose_dvc_died_while_it_began_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another parent then: the machine's first process, or one that takes orphans."""

    class Ended(Exception):
        pass

    def end(status: int) -> None:
        raise Ended

    monkeypatch.setenv("DVC_STAGE", "x")
    monkeypatch.setattr(os, "_exit", end)
    for ancestors in ({}, {7: ["/sbin/init"]}):
        monkeypatch.setattr(workers, "_ancestors", lambda known=ancestors: iter(known))
        monkeypatch.setattr(workers, "_words", lambda pid, known=ancestors: known[pid])
        with pytest.raises(Ended):
            workers.end_with_dvc()
    watched: list[int] = []
    monkeypatch.setattr(workers, "end_with", lambda pid, parent: watched.append(pid))
    known = {9: ["bash", "-c", "x"], 8: ["/usr/bin/python3", "own.py"], 7: ["python", "/venv/bin/dvc", "repro"]}
    monkeypatch.setattr(workers, "_words", known.__getitem__)
    for ancestors in (known, {9: known[9], 8: known[8]}):
        monkeypatch.setattr(workers, "_ancestors", lambda known=ancestors: iter(known))
        workers.end_with_dvc()
    assert watched == [7, 8]


@pytest.mark.parametrize("parent", [True, False])
def test_who_comes_after_the_end_of_the_other_process_ends_at_once(parent: bool) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    words = f"from pipeline.base.workers import end_with; end_with({gone.pid}, parent={parent}); input()"
    assert subprocess.run([sys.executable, "-c", words], cwd=REPOSITORY, stdin=subprocess.PIPE).returncode == 1
    if parent:  # the number may be another process's by now
        words = words.replace(str(gone.pid), "1")
        assert subprocess.run([sys.executable, "-c", words], cwd=REPOSITORY, stdin=subprocess.PIPE).returncode == 1


def test_without_shared_memory_one_process_does_the_work() -> None:
    code = (
        "from pipeline.base.workers import map_in_processes; print(list(map_in_processes(abs, [-1, 2, -3], workers=2)))"
    )
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

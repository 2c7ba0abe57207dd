import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.faults import REMEDIES
from pipeline.video.children import Beat, ChildDied, ChildHung, ChildLost, kept_children, run_in_child

REPOSITORY = Path(__file__).resolve().parent.parent.parent


# A child takes a second to start, more on a busy machine.
SILENCE_SECONDS = 5


def run(work: Callable[..., None], silence_seconds: float = 60, **arguments: object) -> None:
    run_in_child(work, arguments, silence_seconds=silence_seconds, stop=threading.Event())


def write_pid(path: Path, beat: Beat) -> None:
    path.write_text(str(os.getpid()))


def hang(path: Path, beat: Beat) -> None:
    write_pid(path, beat)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(600)


def work_slowly(path: Path, beat: Beat) -> None:
    for _ in range(10 * SILENCE_SECONDS + 5):
        time.sleep(0.1)
        beat()
    write_pid(path, beat)


def sync_slowly(path: Path, beat: Beat) -> None:
    beat(last=True)
    time.sleep(SILENCE_SECONDS + 1)
    write_pid(path, beat)


def crash(beat: Beat) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def stop_at_once(beat: Beat) -> None:
    beat()
    os.kill(os.getpid(), signal.SIGSTOP)


def leave(beat: Beat) -> None:
    os._exit(3)


def fill_the_disk(beat: Beat) -> None:
    raise OSError(28, "No space left on device", "/data/x")


def take_all_memory(beat: Beat) -> None:
    raise MemoryError("no room")


def divide(beat: Beat) -> None:
    print(1 / 0)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def gone_in_time(pid: int) -> bool:
    for _ in range(200):
        if is_gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_work_is_done_in_another_process(tmp_path: Path) -> None:
    run(write_pid, path=tmp_path / "pid")
    pid = int((tmp_path / "pid").read_text())
    assert pid != os.getpid()
    assert gone_in_time(pid)


def test_a_silent_child_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ChildHung, match=r"^no new frame for 5 s$"):
        run(hang, silence_seconds=SILENCE_SECONDS, path=tmp_path / "pid")
    assert gone_in_time(int((tmp_path / "pid").read_text()))


def test_a_slow_child_that_beats_is_not(tmp_path: Path) -> None:
    run(work_slowly, silence_seconds=SILENCE_SECONDS, path=tmp_path / "pid")
    assert (tmp_path / "pid").exists()


def test_nor_is_one_that_only_its_disk_keeps_waiting(tmp_path: Path) -> None:
    run(sync_slowly, silence_seconds=SILENCE_SECONDS, path=tmp_path / "pid")
    assert (tmp_path / "pid").exists()


def test_a_kept_child_does_more_until_it_is_lost(tmp_path: Path) -> None:
    with kept_children():
        for name in ("first", "second"):
            run(write_pid, path=tmp_path / name)
        with pytest.raises(ChildDied):
            run(leave)
        run(write_pid, path=tmp_path / "third")
    first, second, third = (int((tmp_path / name).read_text()) for name in ("first", "second", "third"))
    assert first == second != third
    assert gone_in_time(first)
    assert gone_in_time(third)


@pytest.mark.parametrize(
    ("work", "end"), [(crash, "its process was killed by SIGSEGV"), (leave, "its process died with exit code 3")]
)
def test_a_crash_is_told_from_an_error(work: Callable[..., None], end: str) -> None:
    with pytest.raises(ChildDied, match=rf"^{end}$"):
        run(work)


def test_a_child_that_was_stopped_did_not_hang() -> None:
    with pytest.raises(ChildLost, match=r"^no new frame for 1 s: its process is stopped$") as error:
        run(stop_at_once, silence_seconds=1)
    assert not isinstance(error.value, ChildHung)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (fill_the_disk, f"/data/x: No space left on device; {REMEDIES[errno.ENOSPC]}"),
        (take_all_memory, f"out of memory: no room; {REMEDIES[errno.ENOMEM]}"),
    ],
)
def test_no_disk_and_no_memory_are_no_bugs(work: Callable[..., None], message: str) -> None:
    with pytest.raises(ChildLost, match=f"^{re.escape(message)}$") as error:
        run(work)
    assert not isinstance(error.value, ChildHung | ChildDied)


def test_a_bug_comes_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"in divide\n[^$]*ZeroDivisionError: division by zero"):
        run(divide)


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import threading
            from pathlib import Path
            from pipeline.video.children import run_in_child
            from written import write

            Path("runs").open("a").write("x")
            run_in_child(write, {}, silence_seconds=60, stop=threading.Event())
        """)
    )
    (tmp_path / "written.py").write_text("from pathlib import Path\ndef write(beat): Path('done').touch()\n")
    search = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=search, check=True, timeout=60)
    assert (tmp_path / "done").exists()
    assert (tmp_path / "runs").read_text() == "x"


def test_it_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    with pytest.raises(ChildLost, match=r"^stopped$"):
        run_in_child(hang, {"path": tmp_path / "pid"}, silence_seconds=60, stop=stop)
    assert time.monotonic() - started < 20


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = f"""
        import threading
        from pathlib import Path
        from pipeline.video.children import run_in_child
        from tests.video.test_children import hang
        if __name__ == "__main__":
            run_in_child(hang, {{"path": Path({str(tmp_path / "pid")!r})}}, silence_seconds=600, stop=threading.Event())
    """
    (tmp_path / "parent.py").write_text(textwrap.dedent(script))
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    try:
        for _ in range(600):
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                break
            time.sleep(0.05)
        pid = int((tmp_path / "pid").read_text())
        assert not is_gone(pid)
    finally:
        parent.kill()
        parent.wait()
    assert gone_in_time(pid)

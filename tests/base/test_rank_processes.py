"""Two processes on one machine (Gloo): how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.base.rank_processes import LAUNCHER
from tests.failing_ranks import REPOSITORY, run_ranks, start_ranks


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        pytest.param("here", "error: film b: damaged\n", marks=pytest.mark.slow),
        ("everywhere", "error: params.yaml: no such file\n"),
    ],
)
def test_an_error_on_one_rank_or_on_all_is_said_once(tmp_path: Path, kind: str, message: str) -> None:
    assert run_ranks(tmp_path, "failing_ranks", kind) == (1, "", message)


@pytest.mark.slow
def test_a_bug_on_one_rank_shows_its_traceback_once(tmp_path: Path) -> None:
    status, _, complained = run_ranks(tmp_path, "failing_ranks", "bug")
    assert status == 1
    assert complained.count("Traceback") == 1
    assert complained.endswith("ValueError: a bug\n")


@pytest.mark.slow
def test_ranks_end_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    process = start_ranks(tmp_path, "failing_ranks", "never")
    assert process.stdout is not None
    launcher = int(process.stdout.readline())
    assert launcher == process.pid
    ours = f"/proc/{launcher}/task/{launcher}/children"
    children = [int(each) for each in Path(ours).read_text().split()]
    assert len(children) >= 2
    os.kill(launcher, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}/cmdline").exists()]
    process.communicate()


def test_a_rank_whose_launcher_died_while_it_started_ends_at_once() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    words = "from pipeline.base.rank_processes import across_ranks; across_ranks(print)(processes=2)"
    environment = {
        "TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", LAUNCHER: str(gone.pid),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=REPOSITORY, env=os.environ | environment, timeout=60, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")

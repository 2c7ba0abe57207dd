"""Kill -9 at the last calls of every stage, of decoders, of `work gc`: the same bytes, nothing left half or running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import REPOSITORY, Project, new_project
from tests.kills import CHILDREN, STAGES, TOKEN, chosen, ours_running


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_stage_survives_kills_at_its_last_calls(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.kills", "--points", "5", "--json", str(tmp_path / "counts.json")]
    done = subprocess.run(words, cwd=REPOSITORY, text=True, check=False, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stdout
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert {each["stage"] for each in counts} == {*STAGES, CHILDREN}
    assert sum(each["kills"] for each in counts) >= 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_runs_on_when_dvc_is_killed(finished: Project, tmp_path: Path) -> None:
    """At any moment: while DVC starts, while a stage or its ranks import, while they work."""
    project = new_project(tmp_path / "project")
    for number, seconds in enumerate((1.5, 3, 4.5, 6, 9, 12, 18)):
        more = {TOKEN: f"dvc{number}", "ACTIONBANK_PROCESSES": "2" if number % 2 else "1"}
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=project.folder, env=project.environment(**more),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)  # of DVC alone
        process.wait()
        deadline = time.monotonic() + 30
        while (left := ours_running(more[TOKEN])) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == [], f"killed after {seconds} s"
    project.dvc("repro")
    assert project.outs() == finished.outs()


def test_the_points_are_the_last_calls() -> None:
    assert chosen(100, last=10, points=5) == [100, 98, 96, 94, 92]
    assert chosen(3, last=10, points=5) == [3, 2, 1]
    assert chosen(3, last=10, points=0) == []

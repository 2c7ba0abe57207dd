"""Several runs: one at a time in a folder, others in the queue."""

import os
import signal
import subprocess
import time

import pytest

from tests.end_to_end.harness import Project


@pytest.mark.slow
def test_a_sweep_with_a_refused_value_leaves_those_before_it_in_the_queue(project: Project) -> None:
    """docs/commands.md says how to drop them."""
    told = project.dvc("exp", "run", "--queue", "-S", "head_train.lr=0.1,0.2,-1", fails=True)
    assert "head_train.lr: Input should be greater than 0 (found -1)" in told
    assert project.dvc("queue", "status").count("Queued\n") == 2
    project.dvc("queue", "remove", "--queued")
    assert "No experiment tasks in the queue." in project.dvc("queue", "status")


@pytest.mark.slow
def test_a_second_run_in_a_folder_ends_as_the_page_says(project: Project) -> None:
    long = ["dvc", "exp", "run", "-S", "head=lfb_max", "-S", "head_train.schedule.epochs=2000"]
    first = subprocess.Popen(
        long, cwd=project.folder, env=project.environment(), start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        while "train_head runs now" not in project.run("actionbank", "status"):
            assert first.poll() is None
            assert time.monotonic() < until
        told = project.dvc("exp", "run", "-S", "head=lfb_nl", "train_head", fails=True)
    finally:
        os.killpg(first.pid, signal.SIGTERM)
        first.wait()
    assert "another run goes on in this folder (process " in told
    assert "head: lfb_max" in (project.folder / "params.yaml").read_text()

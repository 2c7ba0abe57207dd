"""The script for Slurm of docs/cluster.md, with stand-ins for the programs that it calls."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.harness import REPOSITORY

PAGE = (REPOSITORY / "docs/cluster.md").read_text()
PROGRAMS = {
    "srun": 'case "$*" in *--head*) exec sleep "$HEAD_SECONDS" ;; esac',
    "ray": '[ "$1" != health-check ] || [ "$HEAD_SECONDS" != 0 ]',
    "dvc": '[ "$1" != status ] || [ -e "$3" ]',
    "python": "echo 10.0.0.1",
    "sleep": '[ "$1" = 2 ] || exec /bin/sleep "$1"',
}


def ran(folder: Path, *, nodes: int = 3, head_seconds: float = 0.2, done: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Run the script as Slurm would on the first of so many nodes; return its status and what it called, in order.

    Ray's head runs for `head_seconds`, and DVC finds the stages of `done` up to date.
    """
    (script,) = re.findall(r"^#!/bin/bash\n.*?(?=^```)", PAGE, re.DOTALL | re.MULTILINE)
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    for name, does in PROGRAMS.items():
        log = "" if name == "sleep" else f'echo "{name} $*" >> called\n'
        (programs / name).write_text(f"#!/bin/sh\n{log}{does}\n")
        (programs / name).chmod(0o755)
    for name in done:
        (folder / name).touch()
    slurm = {"SUBMIT_DIR": str(folder), "NNODES": str(nodes), "CPUS_PER_TASK": "64"}
    given = {**os.environ, "SLURMD_NODENAME": "n1", "HEAD_SECONDS": f"{head_seconds:g}"}
    given |= {f"SLURM_{name}": value for name, value in slurm.items()}
    status = subprocess.run(["bash", "-c", script], env=given, capture_output=True, check=False, timeout=60).returncode
    return status, (folder / "called").read_text().splitlines()


def trained(called: list[str]) -> list[str]:
    return [each.split()[-1] for each in called if "torchrun" in each]


def test_the_script_makes_everything_in_order(tmp_path: Path) -> None:
    status, called = ran(tmp_path)
    assert status == 0
    assert [each for each in called if each.startswith("dvc ")] == [
        "dvc repro extract_frames import_boxes import_backbone",
        "dvc status -q train_baseline",
        "dvc commit --force train_baseline",
        "dvc repro import_boxes infer_bank",
        "dvc status -q train_head",
        "dvc commit --force train_head",
        "dvc repro",
    ]
    assert trained(called) == ["stages.train_baseline", "stages.train_head"]
    (others,) = [each for each in called if "--exclude" in each]
    assert "--nodes=2 --ntasks=2 --exclude=n1 ray start --address=10.0.0.1:6379 --num-cpus=64" in others


def test_the_script_trains_nothing_that_is_up_to_date(tmp_path: Path) -> None:
    status, called = ran(tmp_path, nodes=1, done=("train_baseline",))
    assert (status, trained(called)) == (0, ["stages.train_head"])
    assert not [each for each in called if "--exclude" in each], "there are no other nodes"


def test_the_script_ends_where_rays_head_does_not_come_up(tmp_path: Path) -> None:
    status, called = ran(tmp_path, head_seconds=0)
    assert status != 0
    assert not [each for each in called if each.startswith("dvc ")]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^train (\w+)", PAGE, re.MULTILINE))))
def test_the_script_names_stages(name: str) -> None:
    assert (REPOSITORY / "stages" / f"{name}.py").is_file()

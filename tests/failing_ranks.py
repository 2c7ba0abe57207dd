"""Jobs that fail in several processes, which import PyTorch and nothing else that takes long; and how jobs start.

python -m tests.failing_ranks everywhere --processes 2
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from pipeline.base.command import ProcessesOption, new_app, run
from pipeline.base.distributed import barrier
from pipeline.base.errors import InputError
from pipeline.base.rank_processes import across_ranks
from pipeline.base.ranks import rank, world_size

app = new_app()
REPOSITORY = Path(__file__).resolve().parent.parent


def start_ranks(folder: Path, job: str, *command: str, processes: int = 2) -> "subprocess.Popen[str]":
    """Start a job, a module beside this one, in several processes, for the project `folder/project_<processes>`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DVC_ROOT": str(folder / f"project_{processes}")}
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.{job}", *command], cwd=REPOSITORY, text=True,
        env={**environment, "ACTIONBANK_PROCESSES": str(processes)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run_ranks(folder: Path, job: str, *command: str, processes: int = 2) -> tuple[int, str, str]:
    """Run a job; returns the status, and what was printed on either stream."""
    process = start_ranks(folder, job, *command, processes=processes)
    printed, complained = process.communicate(timeout=300)
    return process.returncode, printed, complained


@app.command()
@across_ranks
def fail(kind: str, processes: ProcessesOption = 1) -> None:
    """An error on the last rank or on all of them."""
    if kind == "everywhere":
        raise InputError("params.yaml: no such file")
    if kind == "never":
        print(os.getppid(), flush=True)
        time.sleep(60)
    if rank() == world_size() - 1:
        if kind == "here":
            raise InputError("film b: damaged")
        raise ValueError("a bug")
    barrier()


if __name__ == "__main__":
    run(app)

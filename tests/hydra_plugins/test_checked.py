import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.hydra_plugins.checked import refuse_second_run


@pytest.fixture
def other() -> Iterator[int]:
    """A process that runs."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def write(lock: Path, pid: int, *, read: bool = False) -> Path:
    info = {"pid": pid, "cmd": "dvc repro"}
    path = "/project/data/frames"
    lock.write_text(json.dumps({"read": {path: [info]}} if read else {"write": {path: info}}))
    return lock


@pytest.mark.parametrize("read", [True, False])
def test_a_run_beside_another_is_refused(tmp_path: Path, other: int, read: bool) -> None:
    message = (
        f"another run goes on in this folder (process {other}: dvc repro), and would read the new params.yaml; wait "
        "for it, or use --queue or --temp"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        refuse_second_run(write(tmp_path / "rwlock", other, read=read))


def test_what_a_process_left_that_has_ended_holds_nobody_up(tmp_path: Path) -> None:
    lock = tmp_path / "rwlock"
    refuse_second_run(lock)
    refuse_second_run(write(lock, os.getpid()))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    refuse_second_run(write(lock, ended.pid))
    lock.write_text("{}")
    refuse_second_run(lock)
    lock.write_text('{"/project')
    refuse_second_run(lock)

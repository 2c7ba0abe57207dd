import os
import subprocess

from pipeline.base.processes import process_born, process_status


def test_a_process_has_a_birth_until_it_ends() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        born = process_born(process.pid)
        assert born is not None
        assert born >= (process_born(os.getpid()) or 0) > 0
        assert process_status(process.pid)[1] == str(os.getpid())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_status(process.pid)[0] == "Z"
        assert process_born(process.pid) is None
    assert process_born(process.pid) is None
    assert process_status(process.pid)[0] == "X"

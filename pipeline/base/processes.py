"""Other processes of this machine: their state and start time."""

from pathlib import Path


def process_status(pid: int) -> list[str]:
    """Return the state, the parent and more of a process: fields 3 and following of `man proc_pid_stat`."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def process_born(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None if it has ended.

    A zombie (`Z`: killed, and its parent has not waited for it) counts as ended: in a container nobody may ever wait.
    """
    status = process_status(pid)
    return None if status[0] in "ZX" else int(status[19])

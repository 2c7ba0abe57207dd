"""Other processes of this machine: whether one still runs, and since when."""

from pathlib import Path


def process_status(pid: int) -> list[str]:
    """State, parent and further fields of a process, as `man proc_pid_stat` counts them from the third on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def process_born(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where it has ended.

    One that was killed and that its parent has not asked for yet (`Z`) has ended: in a container nobody may ever ask.
    """
    status = process_status(pid)
    return None if status[0] in "ZX" else int(status[19])

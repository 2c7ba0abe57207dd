"""Ask Git about the project."""

import subprocess
from collections.abc import Sequence


def git_output(*words: str, lines: Sequence[str] = ()) -> str | None:
    """Return what a git command prints; None if it fails or git is not installed.

    Args:
        words: the command's arguments.
        lines: lines that the command reads from standard input.
    """
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(
            ["git", *words], input=text, capture_output=True, text=True, errors="surrogateescape", check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None

"""What Git says of the project."""

import subprocess
from collections.abc import Sequence


def git_output(*words: str, lines: Sequence[str] = ()) -> str | None:
    """What a git command prints; None where it fails, or there is no git.

    Args:
        words: the command.
        lines: what it reads.
    """
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(
            ["git", *words], input=text, capture_output=True, text=True, errors="surrogateescape", check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None

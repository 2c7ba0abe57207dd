"""Whether Git or DVC bring a folder to the temporary folder of an experiment (`dvc exp run --temp`, `--queue`)."""

import os
import subprocess
from pathlib import Path

import yaml


def path_for_experiments(name: str) -> str:
    """How the parameters name a file or folder, so that experiments find it.

    Args:
        name: a path, relative to the project's folder where it lies inside.

    Returns:
        The name itself where every file comes along, and where there is no Git repository and so no experiment; the
        absolute path otherwise.
    """
    path = Path(name)
    if path.is_absolute() or _is_of_dvc(path):
        return name
    listed = _git("ls-files", "--others", "-z", "--", name)
    if listed is None:
        return name
    left = [each for each in listed.split("\0") if each and not _is_of_dvc(Path(each))]
    return path.absolute().as_posix() if left or not path.exists() else name


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, errors="surrogateescape", check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _is_of_dvc(path: Path) -> bool:
    """Whether a `.dvc` file, or a stage that has run, brings it; `path` is relative."""
    above = [path, *path.parents][:-1]
    return any(Path(f"{each}.dvc").is_file() for each in above) or any(os.fspath(each) in _outs() for each in above)


def _outs() -> set[str]:
    """The outs of `dvc.lock`."""
    try:
        stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"].values()
        return {out["path"] for stage in stages for out in stage.get("outs", [])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return set()

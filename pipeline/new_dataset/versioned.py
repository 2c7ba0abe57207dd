"""Find whether Git or DVC copies a folder to an experiment's temporary folder (`dvc exp run --temp`, `--queue`)."""

import os
import shlex
from pathlib import Path

import yaml

from pipeline.base.git import git_output


def path_for_experiments(name: str) -> str:
    """Return the path of a file or folder for the parameters, such that experiments find it.

    Args:
        name: a path; relative to the project's folder if it is inside.

    Returns:
        The name itself if all its files are copied, or if there is no Git repository and so no experiment; else the
        absolute path.
    """
    path = Path(name)
    if path.is_absolute() or _is_of_dvc(path):
        return name
    listed = git_output("ls-files", "--others", "-z", "--", name)
    if listed is None:
        return name
    left = [each for each in listed.split("\0") if each and not _is_of_dvc(Path(each))]
    return path.absolute().as_posix() if left or not path.exists() else name


def would_be_committed(path: Path) -> bool:
    """Return whether `git add -A` would add files of this folder, such as films, that neither Git nor DVC tracks.

    Args:
        path: a folder; Git ignores one that is outside of the project or is a link.
    """
    name = os.path.relpath(path.absolute())
    if path.is_symlink() or name.startswith("..") or _is_of_dvc(Path(name)):
        return False
    listed = git_output("ls-files", "--others", "--exclude-standard", "-z", "--", f":(literal){name}") or ""
    found = [Path(each) for each in listed.split("\0") if each]
    return any(each.suffix != ".dvc" and each.name != ".gitignore" and not _is_of_dvc(each) for each in found)


def ignore_words(path: Path) -> str:
    """Return a line that warns of such films and gives the remedy; empty if Git would not add them."""
    if not would_be_committed(path):
        return ""
    name = Path(os.path.relpath(path.absolute())).as_posix()
    advice = "move them into a folder of their own"
    if name != ".":
        pattern = "".join(f"\\{each}" if each in "[]*?!#" else each for each in f"/{name}/")
        advice = f"type: echo {shlex.quote(pattern)} >> .gitignore"
    return f"{name}: Git does not ignore these films, `git add -A` would commit them; {advice}"


def _is_of_dvc(path: Path) -> bool:
    """Return whether a `.dvc` file, or a stage that has run, provides a relative path."""
    above = [path, *path.parents][:-1]
    return any(Path(f"{each}.dvc").is_file() for each in above) or any(os.fspath(each) in _outs() for each in above)


def _outs() -> set[str]:
    """Return the paths of the outs in `dvc.lock`."""
    try:
        stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"].values()
        return {out["path"] for stage in stages for out in stage.get("outs", [])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return set()

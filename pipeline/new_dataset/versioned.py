"""Whether Git or DVC bring a folder to the temporary folder of an experiment (`dvc exp run --temp`, `--queue`)."""

import os
import shlex
from pathlib import Path

import yaml

from pipeline.base.git import git_output


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
    listed = git_output("ls-files", "--others", "-z", "--", name)
    if listed is None:
        return name
    left = [each for each in listed.split("\0") if each and not _is_of_dvc(Path(each))]
    return path.absolute().as_posix() if left or not path.exists() else name


def would_be_committed(path: Path) -> bool:
    """Whether `git add -A` would take files of this folder that neither Git nor DVC has, films for example.

    Args:
        path: a folder; one that lies elsewhere, or is a link, is nothing to Git.
    """
    name = os.path.relpath(path.absolute())
    if path.is_symlink() or name.startswith("..") or _is_of_dvc(Path(name)):
        return False
    listed = git_output("ls-files", "--others", "--exclude-standard", "-z", "--", f":(literal){name}") or ""
    found = [Path(each) for each in listed.split("\0") if each]
    return any(each.suffix != ".dvc" and each.name != ".gitignore" and not _is_of_dvc(each) for each in found)


def ignore_words(path: Path) -> str:
    """A line that says so of films, and what to type; empty where Git would not take them."""
    if not would_be_committed(path):
        return ""
    name = Path(os.path.relpath(path.absolute())).as_posix()
    advice = "move them into a folder of their own"
    if name != ".":
        pattern = "".join(f"\\{each}" if each in "[]*?!#" else each for each in f"/{name}/")
        advice = f"type: echo {shlex.quote(pattern)} >> .gitignore"
    return f"{name}: Git does not ignore these films, `git add -A` would commit them; {advice}"


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

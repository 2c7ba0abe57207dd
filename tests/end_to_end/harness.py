"""A temporary copy of the project on the mini data set, run with `dvc` and `git` as a user does."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.base.files import digest_tree, read_json
from tests.end_to_end.warm import warm_server

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
README = (REPOSITORY / "README.md").read_text()


def readme_block(heading: str, number: int) -> list[str]:
    """Lines of the n-th fenced block of a section of README.md."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    blocks: list[str] = re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)
    return blocks[number].splitlines()


def readme_commands(heading: str, number: int) -> list[str]:
    """What a block types, with the environment of the tests in place of the one that `./run` sets up."""
    typed = [line.partition("#")[0].strip() for line in readme_block(heading, number)]
    return [line.replace("./run repro", "dvc repro").replace("./run ", "") for line in typed]


@dataclass(frozen=True)
class Project:
    """A working copy with its own repository, cache and work directory."""

    folder: Path

    def run(
        self,
        *command: str,
        fails: bool = False,
        environment: dict[str, str] | None = None,
        timeout_seconds: float | None = 1800,
    ) -> str:
        """Run a command in the project; returns what it printed, on either stream.

        `dvc`, `actionbank` and `python -m` are forked from a process that has imported libraries already
        (`tests.end_to_end.warm`), except where `environment` is given, which these may read as they start.
        """
        given = self.environment(**(environment or {}))
        given |= warm_server().environment(given["PATH"]) if environment is None else {}
        done = subprocess.run(
            command, cwd=self.folder, env=given, text=True, timeout=timeout_seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """What a user's shell would hand on, with a git identity and no terminal."""
        identity = {
            f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        own = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder.parent), "DVC_NO_ANALYTICS": "1"}
        # One worker: each more is a process that imports as much as the stage; the stages' own tests have two.
        own |= {"ACTIONBANK_WORKERS": "1", "ACTIONBANK_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        return {**os.environ, **identity, **own, **more}

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """Run dvc."""
        return self.run("dvc", *arguments, fails=fails)

    def git(self, *arguments: str) -> str:
        """Run git."""
        return self.run("git", *arguments)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def metrics(self) -> dict:
        """What the last evaluation wrote."""
        metrics: dict = read_json(self.folder / "results/evaluate/metrics.json")
        return metrics

    def outs(self, stages: tuple[str, ...] | None = None) -> dict[str, str]:
        """Digest of every out in dvc.lock, by path."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {
            out["path"]: out["md5"]
            for name, stage in lock.items()
            if stages is None or name.split("@")[0] in stages
            for out in stage.get("outs", [])
        }

    def copy(self, folder: Path) -> "Project":
        """A copy with its cache and work directory; hard links between them stay."""
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        return Project(folder)

    def clone(self, folder: Path) -> "Project":
        """A clone as a colleague makes it: what git has, and nothing else."""
        subprocess.run(["git", "clone", "-q", self.folder, folder], check=True)
        return Project(folder)

    def tree(self, name: str) -> str:
        """Digest of a folder's names and bytes."""
        return digest_tree(self.folder / name)


def new_project(folder: Path, dataset: str = "playground_mini") -> Project:
    """A fresh repository of the project's files, with the mini data set, or another, as the default."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.split("\n"):
        if (
            name
            and (REPOSITORY / name).is_file()
            and not name.startswith(("tests/fixtures", "results/", "dvc.lock", "recognition/dvc.lock"))
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)
    config = folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("dataset: playground\n", f"dataset: {dataset}\n"))
    project = Project(folder)
    project.run("actionbank", "compose")
    project.git("init", "-q")
    project.commit(f"the project on {dataset}")
    return project

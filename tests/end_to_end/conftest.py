from pathlib import Path

import pytest
from filelock import FileLock

from tests.end_to_end.harness import Project, new_project, readme_commands


@pytest.fixture(scope="session")
def finished(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A fresh repository after README's first two commands. Tests copy it, and do not change it.

    It is made once for all workers; each has its own copy, since DVC locks the one that it works in.
    """
    made = Project(shared / "reproduced")
    with FileLock(shared / "reproduced.lock"):
        if not made.folder.exists():
            project = new_project(shared / "reproducing")
            repro, commit, *_ = readme_commands("Change one word", 0)
            project.run("sh", "-c", repro)
            project.run("sh", "-c", commit)
            project.folder.rename(made.folder)
    return made.copy(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project."""
    return finished.copy(tmp_path / "project")

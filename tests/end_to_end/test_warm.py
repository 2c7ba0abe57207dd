"""A program that is forked from a warm process does what a fresh one does."""

from pathlib import Path

import pytest

from tests.end_to_end.harness import Project

TOLD = """
import os, sys
print(os.getcwd(), sys.argv[1:], __name__, os.environ["DVC_NO_ANALYTICS"], "pipeline" in sys.modules)
print("and this", file=sys.stderr)
sys.exit({status})
"""


@pytest.mark.parametrize("status", ["0", "3", "'a message'"])
def test_it_has_its_own_folder_words_streams_and_status(tmp_path: Path, status: str) -> None:
    project = Project(tmp_path)
    (tmp_path / "told.py").write_text(TOLD.format(status=status))
    words = ("python", "-m", "told", "one word", "--more")
    warm = project.run(*words, fails=status != "0")
    fresh = project.run(*words, fails=status != "0", environment={})
    assert sorted(warm.splitlines()) == sorted(fresh.splitlines())
    assert "['one word', '--more'] __main__ 1 False" in warm


def test_a_project_runs_its_own_copy_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/code.py").write_text("print('of this folder')\n")
    assert Project(tmp_path).run("python", "-m", "stages.code") == "of this folder\n"

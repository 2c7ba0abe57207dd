"""README.md, typed as it stands, on the data set that it shows."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import REPOSITORY, Project, new_project

README = (REPOSITORY / "README.md").read_text()
NUMBER = re.compile(r"-?\d\.\d+")


def block(heading: str, number: int) -> list[str]:
    """Lines of a section's n-th fenced block."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    blocks: list[str] = re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)
    return blocks[number].splitlines()


def commands(heading: str, number: int) -> list[str]:
    """What a block types, with the environment of the tests in place of the one that `./run` sets up."""
    typed = [line.partition("#")[0].strip() for line in block(heading, number)]
    return [line.replace("./run repro", "dvc repro").replace("./run ", "") for line in typed]


def check_shown(shown: list[str], printed: list[str]) -> None:
    """Each line that is shown was printed, in this order; losses and APs may be those of another kind of CPU."""
    rest = iter(printed)
    for line in shown:
        # Columns are as wide as their longest number, which may have lost a zero at its end.
        words = NUMBER.sub("#", line).split()
        found = next((each for each in rest if NUMBER.sub("#", each).split() == words), None)
        assert found is not None, f"not printed, or not here: {line}"
        numbers = [[float(each) for each in NUMBER.findall(text)] for text in (line, found)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02), f"README shows {line!r}, printed was {found!r}"


def test_the_sequence_works_as_typed_on_a_fresh_clone(tmp_path: Path, finished: Project) -> None:
    project = new_project(tmp_path / "project")
    # What was made is not made again: DVC finds it in its cache. `finished` itself was made by a first `dvc repro`.
    subprocess.run(["cp", "-a", finished.folder / ".dvc/cache", project.folder / ".dvc/cache"], check=True)
    printed = [project.run("sh", "-c", line) for line in commands("Change one word", 0)]
    assert re.findall(r"Running stage '([^']+)'", printed[-2]) == ["train_head", "evaluate"]
    changed = {line.split()[1]: line.split()[2:] for line in printed[-1].splitlines()[1:]}
    assert changed["head"] == ["lfb_avg", "lfb_nl", "-"]
    assert len([float(each) for each in changed["mAP"]]) == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_the_readme_shows_is_what_is_printed(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", dataset="playground")
    printed = [project.run("sh", "-c", line) for line in commands("Change one word", 0)]
    print(printed[-1])
    check_shown(block("Two commands", 1)[1:], printed[0].splitlines())
    check_shown(block("Change one word", 1), printed[-1].splitlines())

"""README.md, typed as it stands, on the data set that it shows; test_experiments.py types it on the mini one."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.harness import new_project, readme_block, readme_commands

NUMBER = re.compile(r"-?\d\.\d+")


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


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_the_readme_shows_is_what_is_printed(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", dataset="playground")
    printed = [project.run("sh", "-c", line) for line in readme_commands("Change one word", 0)]
    print(printed[-1])
    check_shown(readme_block("Two commands", 1)[1:], printed[0].splitlines())
    check_shown(readme_block("Change one word", 1), printed[-1].splitlines())

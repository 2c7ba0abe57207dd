"""docs/house.md names what is there."""

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs/house.md").read_text()
FILES = sorted(set(re.findall(r"`((?:pipeline|stages|tests|conf)/[\w/.]*)`", PAGE)))
CODE = "".join(path.read_text() for path in (REPOSITORY / "pipeline").rglob("*.py"))


@pytest.mark.parametrize("path", FILES)
def test_every_file_that_the_page_names_is_there(path: str) -> None:
    assert (REPOSITORY / path.replace("NAME", "lfb_nl" if "head" in path else "slowonly_tiny")).exists()


def test_every_link_leads_somewhere() -> None:
    assert all((REPOSITORY / "docs" / link).is_file() for link in re.findall(r"\]\(([\w-]+\.md)", PAGE))


def test_every_name_that_the_page_gives_is_defined() -> None:
    names = {name for name in re.findall(r"`([A-Za-z]\w+)(?:\([^`]*\))?`", PAGE) if "_" in name or name[0].isupper()}
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].keys()
    unknown = {name for name in names if not re.search(rf"\b{name}\b", CODE)} - stages
    assert unknown == set()


def test_every_room_is_on_the_plan() -> None:
    plan = PAGE.partition("```")[2].partition("```")[0]
    rooms = {path.name for path in (REPOSITORY / "pipeline").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"{room}/" not in plan} == {"hydra_plugins"}


def test_a_stage_is_understood_within_three_files() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`stages/.*`) \|$", PAGE, re.M)
    stages = {path.stem for path in (REPOSITORY / "stages").glob("*.py")} - {"__init__", "code", "check_params"}
    assert {stage for stage, _ in rows} == stages - {"make_videos"}
    for stage, files in rows:
        named = re.findall(r"`([\w/.]+)`", files)
        assert named[0] == f"stages/{stage}.py"
        assert len(named) == 3

"""The page of the doctor names every finding there is."""

import re
from pathlib import Path

from pipeline.doctor.left_out import KINDS
from pipeline.doctor.tools import NOTICES
from tests.doctor.sources import REPOSITORY

PAGE = (REPOSITORY / "docs" / "doctor.md").read_text()


def codes() -> set[str]:
    found = set()
    for path in sorted(Path(REPOSITORY, "pipeline/doctor").glob("*.py")):
        found |= set(re.findall(r'findings_of\(\s*f?"([a-z0-9{}-]+)"', path.read_text()))
    return found


def test_every_code_stands_on_the_page() -> None:
    assert len(codes()) > 40
    for code in codes():
        if "{prefix}" in code:  # sorted by kind below
            assert code.removeprefix("{prefix}-") in ("{kind}", "too-many-bad")
        for split in ("train", "val"):
            name = code.replace("{split}", split)
            shown = f"`{name}`" in PAGE or (split == "val" and f"`{code.replace('{split}', 'train')}`, `-val`" in PAGE)
            assert shown or "{prefix}" in code, name
    for kind in [*KINDS, *NOTICES, "too-many-bad"]:
        assert f"`{kind}`" in PAGE, kind


def test_every_code_on_the_page_exists() -> None:
    table = PAGE[PAGE.index("| code | what it is |") :]
    named = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1:2][0] if line.startswith("|") else "")
    }
    known = {code.replace("{split}", split) for code in codes() for split in ("train", "val")}
    assert named - known - {*NOTICES, "-val"} == set()

from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.interop import check_fixture as kinds
from pipeline.interop.check_fixture import check_fixture
from tests.interop.made_alphaction import FOLDER
from tests.interop.made_fixture import made_fixture, slowonly


def test_a_fixture_says_itself_which_kind_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made_fixture(tmp_path, slowonly())
    assert check_fixture(path).upstream.startswith("MMAction2")
    names = []
    monkeypatch.setattr(
        kinds, "KINDS", [(belongs, lambda path, facts: names.append(facts["name"])) for belongs, _ in kinds.KINDS]
    )
    check_fixture(FOLDER / "resnet50_4x16f_baseline.json")
    assert names == ["resnet50_4x16f_baseline"]
    assert check_fixture(path).upstream.startswith("MMAction2")


def test_a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1]")
    with pytest.raises(InputError, match=r"x\.json: no parity fixture of a detector: "):
        check_fixture(path)

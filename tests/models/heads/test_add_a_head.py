"""The head of docs/add-a-head.md, taken from the page: it runs, it learns, and its configuration is valid."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import InputError
from pipeline.models.heads import table
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.lfb_pool import lfb_max
from pipeline.params import parse_params
from pipeline.project.compose import compose_params
from tests.conftest import REPOSITORY
from tests.models.heads.made_up import CHANNELS, trained_accuracy

PAGE = (REPOSITORY / "docs" / "add-a-head.md").read_text()
FUNCTION, LINE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
(CONFIGURATION,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
SETTINGS = HeadSettings(roi_channels=CHANNELS, bank_channels=CHANNELS, classes=3, dropout=0.2)


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The table with the page's line in it."""
    names: dict[str, Any] = {}
    exec(FUNCTION, names)
    added: dict[str, Any] = eval("{" + LINE + "}", names)
    for name, function in added.items():
        monkeypatch.setitem(table.HEADS, name, function)
    return added


def _options(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "head" / "lfb_past.yaml").write_text(CONFIGURATION)
    values = compose_params(["head=lfb_past", *overrides], tmp_path / "conf")
    head = parse_params(values, "conf").head
    assert head.name == "lfb_past"
    assert head.window is not None
    return dict(head.options)


def test_the_page_names_one_file_and_one_line(heads: dict[str, Any]) -> None:
    assert list(heads) == ["lfb_past"]
    assert len(LINE.strip().splitlines()) == 1
    assert "`pipeline/models/heads/lfb_past.py`" in PAGE
    assert "`conf/head/lfb_past.yaml`" in PAGE


def test_the_head_is_composed_built_and_does_what_the_page_says(heads: dict[str, Any], tmp_path: Path) -> None:
    options = _options(tmp_path)

    def past() -> Head:
        return table.build_head("lfb_past", SETTINGS, options)

    assert trained_accuracy(past, half="past") > 0.7
    assert trained_accuracy(lambda: lfb_max(SETTINGS), half="past") < 0.6


def test_a_misspelt_option_is_refused(heads: dict[str, Any], tmp_path: Path) -> None:
    options = _options(tmp_path, "+head.options.shore=0.25")
    with pytest.raises(InputError, match=r"^head lfb_past: unknown option shore, expected share$"):
        table.build_head("lfb_past", SETTINGS, options)

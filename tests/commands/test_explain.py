"""`actionbank explain` is run with a trained head in tests/predict/test_explain_split.py; here what comes before it."""

from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.commands.explain import explain


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    with pytest.raises(InputError, match=r"^mine: holds notes\.txt, which this command does not write"):
        explain(out=Path("mine"))

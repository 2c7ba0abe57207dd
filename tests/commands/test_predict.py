"""The commands, as a user types them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.commands.predict import pack_model, predict

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_what_is_absent_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^\.: no model there; --model takes a project's folder"):
        predict(["film.mp4"], device="cpu")
    with pytest.raises(InputError, match=r"^none\.abm: no model there; --model takes a project's folder"):
        pack_model(Path("out.abm"), model=Path("none.abm"))
    Path("out.abm").mkdir()
    with pytest.raises(InputError, match=r"^out\.abm: is there already; --force replaces it$"):
        pack_model(Path("out.abm"))
    with pytest.raises(InputError, match=r"^out\.abm: is there already; --force replaces it, --out names another$"):
        predict(["film.mp4"], out=Path("out.abm"))


def test_the_help_names_what_is_written() -> None:
    text = CliRunner().invoke(build_app("predict"), ["predict", "--help"], env={"COLUMNS": "200"}).output
    for word in ("--every", "--memory", "--keep-bank", "detections.parquet", "docs/predict.md"):
        assert word in re.sub(r"\s+", " ", text)

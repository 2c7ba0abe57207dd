import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.commands.live import live
from pipeline.commands.predict import predict

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def test_the_help_says_where_the_page_is_and_names_the_token() -> None:
    text = CliRunner().invoke(build_app("live"), ["live", "--help"], env={"COLUMNS": "200"}).output
    for words in ("http://127.0.0.1:8008/", "ACTIONBANK_LIVE_TOKEN", "docs/live.md", "rtsp://"):
        assert words in re.sub(r"\s+", " ", text)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^--host 0\.0\.0\.0: others could watch the camera: set a token"):
        live("camera:0", host="0.0.0.0")
    with pytest.raises(InputError, match=r"^\.: no model there; --model takes a project's folder"):
        live("camera:0", device="cpu")
    with pytest.raises(InputError, match=r"^--render: does not go with camera:0, which is no film$"):
        predict(["camera:0"], render=Path("film.mp4"))
    with pytest.raises(InputError, match=r"^--no-lines: does not go with camera:0, which is no film$"):
        predict(["camera:0"], with_lines=False)
    with pytest.raises(InputError, match=r"^camera:0: a camera is predicted alone, found 2 sources$"):
        predict(["camera:0", "film.mp4"])

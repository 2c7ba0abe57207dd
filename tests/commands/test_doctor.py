import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.commands.doctor import doctor
from tests.doctor.sources import REPOSITORY, write_clean


def called(*words: object) -> tuple[int, str]:
    app = new_app()
    app.command()(doctor)
    result = CliRunner().invoke(app, ["--workers", "1", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_ends_by_severity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = called()
    assert code == 2
    assert output.startswith("error: params.yaml: ")
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    source = write_clean(tmp_path)
    code, output = called("--dataset", "custom")
    assert (code, output.splitlines()[-1]) == (0, "next: dvc exp run -S dataset=custom")
    (source / "annotations/labelmap.pbtxt").write_text("".join(f'item {{ name: "{n}" id: {n} }}' for n in range(1, 81)))
    code, output = called("--dataset", "custom", "--html", "report.html")
    assert (code, output.splitlines()[-1]) == (
        1,
        "next: read the warnings; dvc exp run -S dataset=custom runs with them",
    )
    called("--dataset", "custom", "--html", "report.html")  # a report is replaced, and nothing else
    Path("mine.html").write_text("<title>mine</title>")
    with pytest.raises(
        InputError, match=r"^mine\.html: is there and not what this command writes, so it is not replaced"
    ):
        called("--dataset", "custom", "--html", "mine.html")
    ElementTree.fromstring((tmp_path / "report.html").read_text().removeprefix("<!DOCTYPE html>\n"))
    assert called("--dataset", "custom", "--allow-warnings")[0] == 0
    (source / "videos/street.mkv").unlink()
    code, output = called("--dataset", "custom", "--allow-warnings", "--json")
    assert code == 2
    assert json.loads(output)["findings"][0]["code"] == "film-missing"


def test_a_data_set_that_conf_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    code, output = called("--dataset", "nobody")
    assert code == 2
    assert "nobody" in output

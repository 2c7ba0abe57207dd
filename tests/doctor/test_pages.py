import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.commands.doctor import doctor
from pipeline.doctor.finding import Examination, Finding
from pipeline.doctor.pages import as_html, as_json, as_text
from tests.doctor.sources import REPOSITORY, write_clean

HOSTILE = "<script>alert('&\"')</script>"
EXAMINED = Examination(
    "mine",
    {"films": f"2 files {HOSTILE}"},
    [
        Finding(
            "film-empty",
            "error",
            f"films {HOSTILE}",
            1200,
            (Problem(HOSTILE, "a", "0 bytes", "<video>"),),
            "Fetch & go",
        ),
        Finding("film-twice", "warning", "films", 1, (Problem("f", "f", "x", "y"),), "Take one out"),
    ],
    ["frames"],
)


def test_the_page_is_well_formed_and_shows_everything_as_text() -> None:
    page = as_html(EXAMINED)
    assert "<script" not in page
    assert "http" not in page
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    text = " ".join("".join(root.itertext()).split())
    for shown in (HOSTILE, "film-empty", "(1,200)", "0 bytes", "<video>", "Fetch & go", "Take one out", "frames"):
        assert shown in text
    assert [each.get("class") for each in root.iter("section")] == ["error", "warning"]
    assert not [each for each in root.iter() if each.get("src") or each.get("href")]


def test_the_report_on_a_terminal() -> None:
    assert as_text(EXAMINED).splitlines() == [
        "data set mine",
        f"  films  2 files {HOSTILE}",
        "",
        f"ERROR film-empty (1,200): films {HOSTILE}",
        f"  - {HOSTILE}: a: found 0 bytes, expected <video>",
        "  > Fetch & go",
        "",
        "WARNING film-twice (1): films",
        "  - f: found x, expected y",
        "  > Take one out",
        "",
        "not checked: frames",
        "mine: 1 error, 1 warning, 0 notes",
        "next: mend film-empty (1,200), then run actionbank doctor again",
    ]
    values = as_json(EXAMINED)
    assert values["counts"] == {"error": 1, "warning": 1, "note": 0}
    assert values["findings"][1]["examples"] == [{"file": "f", "item": "f", "found": "x", "expected": "y"}]


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

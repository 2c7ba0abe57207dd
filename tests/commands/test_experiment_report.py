"""`actionbank report`, for one project and for two."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.commands.experiment_report import report
from tests.analysis.test_revisions import write_project

APP = new_app()
APP.command()(report)


def run(*words: object) -> str:
    done = CliRunner().invoke(APP, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_two_projects_and_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, score in (("a", 0.25), ("b", 0.5)):
        write_project(tmp_path / name, score)
    rules = "detected boxes of 2 videos of val, IoU 0.5, protocol official"
    assert run("a", "b", "--resamples", 50) == f"results/report/index.html: a and b, mAP 0.5000; {rules}\n"
    found = json.loads(Path("results/report/report.json").read_text())
    assert (found["sources"], found["overall"]["a"], found["overall"]["change"]) == (["a", "b"], 0.5, 0.0)
    first = Path("results/report/index.html").read_bytes()
    run("a", "b", "--resamples", 50)
    assert Path("results/report/index.html").read_bytes() == first
    monkeypatch.chdir(tmp_path / "b")
    other = run("--boxes", "ground_truth", "--out", "page")
    assert other == f"page/index.html: workspace, mAP 1.0000; {rules.replace('detected', 'ground_truth')}\n"
    assert "interval" not in Path("page/index.html").read_text()


def test_another_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds notes\.txt, which this command does not write"):
        report(out=tmp_path)

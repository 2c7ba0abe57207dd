"""`actionbank compare`, called in this process and as users call it."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.command import new_app
from pipeline.commands.compare import compare
from tests.analysis.test_revisions import write_project
from tests.commands.ending import ended

APP = new_app()
APP.command()(compare)
PROGRAM = "from pipeline.base.command import run; from tests.commands.test_compare import APP; run(APP)"


@pytest.fixture
def folders(tmp_path) -> list[str]:
    for name in ("a", "b"):
        write_project(tmp_path / name, 0.5)
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_two_folders(folders, tmp_path):
    path = tmp_path / "out.json"
    result = CliRunner().invoke(APP, [*folders, "--json", str(path), "--resamples", "50"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[:5] == [
        "               boxes       A       B   change  95 % interval",
        "sit                2  0.5000  0.5000  +0.0000  +0.0000 to +0.0000",
        "stand              0       -       -        -",
        "posture            2  0.5000  0.5000  +0.0000  +0.0000 to +0.0000",
        "all classes        2  0.5000  0.5000  +0.0000  +0.0000 to +0.0000",
    ]
    found = json.loads(path.read_text())
    assert found["overall"]["a"] == found["classes"][0]["b"] == 0.5
    assert found["classes"][1]["change"] is None
    assert (found["boxes"], found["split"], found["videos"]) == ("detected", "val", 2)


def test_options(folders):
    result = CliRunner().invoke(APP, [*folders, "--boxes", "ground_truth", "--resamples", "0"])
    assert result.exit_code == 0, result.output
    assert "all classes        2  1.0000  1.0000  +0.0000" in result.output.splitlines()
    assert result.output.splitlines()[-1].endswith(
        "; ground_truth boxes of 2 videos of val, IoU 0.5, protocol official"
    )
    train = CliRunner().invoke(APP, [*folders, "--split", "train"])
    assert "all classes        1  0.0000  0.0000  +0.0000" in train.output.splitlines()
    assert CliRunner().invoke(APP, [*folders, "--boxes", "others"]).exit_code == 2


def test_as_a_program(folders):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", PROGRAM, folders[0]]
    assert subprocess.run(words, env=environment, cwd=folders[1]).returncode == 0  # with the work tree
    with contextlib.chdir(folders[1]):
        status, _, complained = ended(APP, folders[0], "nope")
    assert status == 1
    assert complained.startswith("error: nope: neither a folder nor a revision: ")
    assert complained.count("\n") == 1

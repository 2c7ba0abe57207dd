"""`actionbank models` lists every published row."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.cli import build_app
from pipeline.commands import models as command
from pipeline.project.compose import compose_params
from tests.recipes import CONF, REPOSITORY, rows

FEW = ("ava21_slowonly_r50_4x16_k400", "ava21_lfb_nl_slowonly_r50_4x16", "multisports_slowonly_r50_4x16")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    # tests/commands/test_recognition_rows.py has those of recognition.
    monkeypatch.setattr(command, "list_recognition_rows", lambda conf, known: [])
    monkeypatch.setattr(command, "list_rows", lambda: [command.describe_row(name, rows()[name]) for name in FEW])


@pytest.mark.usefixtures("few")
def test_the_table() -> None:
    result = CliRunner().invoke(build_app("models"), ["models"])
    assert result.exit_code == 0, result.output
    assert [" ".join(line.split()) for line in result.output.splitlines()] == [
        "name backbone clip head params GFLOPs mAP protocol source",
        f"{FEW[0]} slowonly_r50 4x16 linear 31.80 M 83.1 20.72 mmaction2_1x "
        "MMAction2 1.2.0, configs/detection/slowonly/README.md",
        f"{FEW[1]} slowonly_r50 4x16 lfb_nl 36.04 M 83.1 24.05 mmaction2_1x "
        "MMAction2 1.2.0, configs/detection/lfb/README.md",
        f"{FEW[2]} slowonly_r50 4x16 linear 31.77 M 83.1 26.40 mmaction2_1x "
        "MMAction2 1.2.0, configs/detection/slowonly/README.md",
    ]
    assert len({line.index("mmaction2_1x") for line in result.output.splitlines()[1:]}) == 1


@pytest.mark.usefixtures("few")
def test_json_has_all_that_the_source_reports() -> None:
    found = json.loads(CliRunner().invoke(build_app("models"), ["models", "--json"]).output)
    assert [each["name"] for each in found] == list(FEW)
    assert found[0]["parameters"] == 31_798_416
    assert found[0]["gflops"] == pytest.approx(83.11, abs=0.01)
    assert found[2]["reported"] == rows()[FEW[2]]["reported"]
    assert found[2]["reported"]["video_map"] == {"0.2": 15.48, "0.5": 10.62, "0.10:0.90": 9.65}


def test_heads_and_their_tricks_have_names() -> None:
    names = {name: command.head_name(values) for name, values in rows().items()}
    assert names["ava22_slowfast_r50_8x8_acrn"] == "acrn"
    assert names["ava21_slowfast_r50_4x16_context"] == "linear, context"
    assert names["ava_kinetics_slowonly_r50_16x4_tricks"] == "linear, context, temporal max, mlp, focal"
    own = compose_params(["head=lfb_nl", "head_train.loss.gamma=2", "head.mlp=true"], CONF)
    assert command.head_name(own) == "lfb_nl, mlp, focal"


def test_an_experiment_without_a_reported_number_is_no_row(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    for entry in CONF.iterdir():
        if entry.name != "experiment":
            (conf / entry.name).symlink_to(entry)
    (conf / "experiment").mkdir()
    name = FEW[0]
    (conf / "experiment" / f"{name}.yaml").symlink_to(CONF / "experiment" / f"{name}.yaml")
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\nchoices: {experiment: mine}\n")
    assert list(command.read_published(conf)) == [name]


def test_what_was_counted_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "describe_row", lambda name, values: pytest.fail(f"{name} is counted"))
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "dataset/mine.yaml").write_text((conf / "dataset/ava22.yaml").read_text())  # in no published row
    assert [row["name"] for row in command.list_rows(conf)] == list(rows())
    mine = conf / "experiment/mine.yaml"
    mine.write_text("# @package _global_\nchoices: {experiment: mine}\n")
    assert "mine" not in [row["name"] for row in command.list_rows(conf)]


def test_a_row_that_was_changed_is_counted(tmp_path: Path) -> None:
    table = json.loads(command.COUNTED.read_text())
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    row = conf / f"experiment/{FEW[0]}.yaml"
    row.write_text(row.read_text().replace("map: 20.72", "map: 20.5"))
    (changed,) = [each for each in command.list_rows(conf) if each["name"] == FEW[0]]
    assert (changed["reported"]["map"], changed["parameters"]) == (20.5, 31_798_416)
    before = command.row_keys(conf)
    (conf / "config.yaml").write_text((conf / "config.yaml").read_text() + "# edited\n")
    after = command.row_keys(conf)
    assert all(before[name] != after[name] for name in table)


def test_outside_of_a_project_it_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^.*experiment: no such folder; run it in the project's folder$"):
        command.read_published(tmp_path / "conf")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "models"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: conf/experiment: no such folder; run it in the project's folder\n"

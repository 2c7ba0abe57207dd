"""An edit of conf/ reaches the stages through params.yaml alone: nobody may go on without it."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.base.errors import InputError
from pipeline.project.compose import params_text
from stages.check_params import CHECKED, check_params

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")


def compose(*overrides: str) -> None:
    from pipeline.cli import build_app

    assert CliRunner().invoke(build_app("compose"), ["compose", *overrides]).exit_code == 0


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def refusal() -> str:
    with pytest.raises(InputError) as error:
        check_params()
    return str(error.value)


def test_an_edit_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    compose()
    check_params()
    edit("conf/head/lfb_avg.yaml", "span: centred", "span: past")
    assert refusal() == (
        "params.yaml is not what conf/ says: head.window.span: 'centred', conf/ says 'past'; `actionbank compose` "
        "composes it anew"
    )
    compose()
    check_params()


def test_what_was_chosen_is_no_fault_and_is_said_again() -> None:
    compose("head=lfb_nl", "baseline.lr=0.5", "head_train.schedule.milestones=[1, 2]")
    check_params()
    edit("conf/head/lfb_avg.yaml", "span: centred", "span: past")
    check_params()  # of another head
    edit("conf/head/lfb_nl.yaml", "span: centred", "span: past")
    assert refusal().endswith(
        "; `actionbank compose head=lfb_nl baseline.lr=0.5 'head_train.schedule.milestones=[1, 2]'` composes it anew"
    )


def test_a_hand_edit_is_found() -> None:
    compose()
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["baseline"]["lr"] = 7.0
    Path("params.yaml").write_text(params_text(values))
    assert "not what conf/ says: baseline.lr: 7.0, conf/ says " in refusal()


def test_an_experiment_has_just_composed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compose()
    edit("conf/head/lfb_avg.yaml", "span: centred", "span: past")
    monkeypatch.setenv("DVC_EXP_NAME", "heavy-hen")
    check_params()


def test_without_choices_nothing_can_be_said() -> None:
    assert "params.yaml: no such file; run it in the project's folder" in refusal()
    Path("params.yaml").write_text("a: 1")
    assert refusal() == "params.yaml: has no choices; write it with `actionbank compose`"


def test_the_first_stages_of_recognition_depend_on_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    compose()
    check_params("recognition")
    assert CHECKED.read_text() == "checked\n"
    CHECKED.unlink()
    edit("conf/recognition/head/trn_multiscale.yaml", "per_scale: 3", "per_scale: 2")
    with pytest.raises(InputError, match=r"recognition\.head\.per_scale: 3, conf/ says 2"):
        check_params("recognition")
    assert not CHECKED.exists()
    monkeypatch.setenv("DVC_EXP_NAME", "tried")  # composed and checked by `dvc exp run`
    check_params("recognition")
    assert CHECKED.exists()
    stages = yaml.safe_load((REPOSITORY / "recognition/dvc.yaml").read_text())["stages"]
    assert stages["check_params"]["do"]["outs"] == [CHECKED.as_posix()]
    assert CHECKED.as_posix() in stages["make_videos"]["do"]["deps"]
    assert CHECKED.as_posix() in stages["extract_frames"]["do"]["deps"]

"""An experiment that is refused leaves params.yaml as it was."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.compose import compose_params, params_text
from pipeline.errors import InputError
from pipeline.put_back import keep_params, put_back

REPOSITORY = Path(__file__).resolve().parent.parent
REASON = InputError("data are not here")


def git(*words: str) -> None:
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *named, *words], check=True, capture_output=True)


def write(*overrides: str) -> str:
    text = params_text(compose_params(list(overrides), REPOSITORY / "conf"))
    Path("params.yaml").write_text(text)
    return text


def found() -> str:
    return Path("params.yaml").read_text()


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project whose params.yaml of the commit is that of no overrides, in an experiment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "heavy-hen")
    Path("conf").symlink_to(REPOSITORY / "conf")
    text = write()
    git("init", "-q")
    git("add", "params.yaml")
    git("commit", "-qm", "one")
    return text


def test_it_is_that_of_the_commit_where_nothing_was_kept(committed: str) -> None:
    write("+experiment=ava22_slowfast_r50_8x8", "baseline.lr=0.5")
    said = str(put_back(REASON))
    assert said == (
        "data are not here; params.yaml is as it was, without +experiment=ava22_slowfast_r50_8x8 baseline.lr"
    )
    assert found() == committed


def test_it_is_what_passed_last(committed: str) -> None:
    passed = write("head=lfb_nl")
    keep_params()
    write("dataset=ava22", "bank=external", "bank.train=a", "bank.val=b", "bank.producer=c")
    assert "without dataset=ava22" in str(put_back(REASON)).replace("backbone=slowonly_tiny ", "")
    assert found() == passed


def test_it_is_what_was_composed_last(committed: str) -> None:
    app = build_app("compose")
    assert CliRunner().invoke(app, ["compose", "head=lfb_max"]).exit_code == 0
    composed = found()
    write("dataset=ava22")
    put_back(REASON)
    assert found() == composed != committed


def test_what_was_kept_at_another_commit_is_nothing_to_go_back_to(committed: str) -> None:
    write("head=lfb_nl")
    keep_params()
    second = write("head=lfb_max")
    git("commit", "-qam", "two")
    write("dataset=ava22")
    put_back(REASON)
    assert found() == second


def test_repro_and_other_folders_keep_what_the_user_composed(
    committed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = write("dataset=ava22")
    with monkeypatch.context() as repro:
        repro.delenv("DVC_EXP_NAME")
        assert put_back(REASON) is REASON
    assert found() == mine
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))  # this is the temporary folder of --temp
    keep_params()
    assert put_back(REASON) is REASON
    assert found() == mine
    assert not (tmp_path / "project").exists()


def test_without_a_commit_nothing_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "heavy-hen")
    mine = write("head=lfb_nl")
    assert put_back(REASON) is REASON
    assert found() == mine

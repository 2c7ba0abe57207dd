"""The stage that renders: its outs and words, films kept between runs, kills."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.command import run
from pipeline.base.files import digest_tree, files_below
from pipeline.playground.make import OUTS, make_playground
from pipeline.playground.settings import Playground
from stages.make_videos import app, make_videos
from tests.stages.projects import REPOSITORY, write_params

SETTINGS: dict[str, Any] = {
    "train_videos": 2, "val_videos": 1, "min_seconds": 20, "max_seconds": 20, "width": 64, "height": 48, "seed": 9,
}  # fmt: skip
SOURCE = Path("data/small/source")


def settings(project: Path, **changed: int) -> dict[str, Any]:
    values = {**SETTINGS, **changed}
    write_params(project, dataset={"name": "small", "generate": ["small"], "playground": values})
    return values


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    settings(tmp_path)
    return tmp_path


def digests() -> dict[str, str]:
    return {name: digest_tree(SOURCE / name) for name in OUTS}


def inodes() -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (SOURCE / "videos").iterdir()}


def test_the_outs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_videos("small", workers=1)
    assert [path.as_posix() for path in files_below(SOURCE)] == [
        "annotations/excluded_train.csv",
        "annotations/excluded_val.csv",
        "annotations/labelmap.pbtxt",
        "annotations/train.csv",
        "annotations/val.csv",
        "annotations/videos.csv",
        "objects/objects_train.csv",
        "objects/objects_val.csv",
        "proposals/proposals_train.pkl",
        "proposals/proposals_val.pkl",
        "proposals_csv/boxes_train.csv",
        "proposals_csv/boxes_val.csv",
        "videos/train_000.mp4",
        "videos/train_001.mp4",
        "videos/val_000.mp4",
    ]
    counts = make_playground(project / "other", Playground(**SETTINGS), workers=1)
    assert digests() == {name: digest_tree(project / "other" / name) for name in OUTS}
    assert capsys.readouterr().out == (
        "make_videos: 2 train and 1 val videos of 60 s in all, "
        f"{counts.boxes} boxes with {counts.labels} labels, {counts.proposals} proposals, {counts.objects} objects\n"
    )


def test_one_more_film_renders_one(project: Path) -> None:
    make_videos("small", workers=1)
    before = inodes()
    settings(project, train_videos=3)
    make_videos("small", workers=1)
    after = inodes()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"train_002.mp4"}
    assert len(list((project / ".work/make_videos").iterdir())) == 4
    settings(project, seed=10)
    make_videos("small", workers=1)
    assert not set(inodes().values()) & set(after.values())


def test_outs_can_be_lost_and_made_again_from_the_work_directory(project: Path) -> None:
    make_videos("small", workers=1)
    made, before = digests(), inodes()
    for path in sorted(SOURCE.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    make_videos("small", workers=2)
    assert digests() == made
    assert inodes() == before


def test_another_name_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_videos", "playgroud"])
    with pytest.raises(SystemExit) as stopped:
        run(app)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == (
        "error: make_videos playgroud: not a data set that is generated (dataset.generate: small)\n"
    )
    write_params(project, dataset={"name": "small", "generate": [], "playground": None})
    monkeypatch.setattr(sys, "argv", ["make_videos", "small"])
    with pytest.raises(SystemExit):
        run(app)
    assert capsys.readouterr().err == (
        "error: make_videos small: not a data set that is generated (dataset.generate: none)\n"
    )


def test_killed_in_the_middle_and_resumed(project: Path) -> None:
    """Frames of 160x120, so that the kill comes before the end."""
    settings(project, width=160, height=120)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stages.make_videos", "small", "--workers", "2"]
    work = project / ".work/make_videos"
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not [path for path in work.glob("*") if not path.name.startswith(".")] and started.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGKILL)
    printed, _ = started.communicate()
    assert printed == b""
    kept = {path.name: path.stat().st_ino for path in work.glob("[!.]*")}
    assert 1 <= len(kept) <= 2
    assert not (project / SOURCE / "videos").exists()
    make_videos("small", workers=2)
    assert {path.name: path.stat().st_ino for path in work.glob("[!.]*") if path.name in kept} == kept
    make_playground(project / "other", Playground(**{**SETTINGS, "width": 160, "height": 120}), workers=2)
    assert digests() == {name: digest_tree(project / "other" / name) for name in OUTS}

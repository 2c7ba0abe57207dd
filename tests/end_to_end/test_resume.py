"""Kill -9 in the middle of a stage, then `dvc repro`: the same bytes. And: one new video, one new item."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stages import extract_frames, import_annotations, import_boxes, infer_bank, make_videos
from tests.end_to_end.harness import Project, new_project

# Where a stage's finished items appear, and how many there are to be at least when it is killed.
PROGRESS = {
    "make_videos": ("make_videos", 1),
    "extract_frames": ("extract_frames", 1),
    "train_baseline": ("train_baseline/*", 1),
    "infer_bank": ("bank_parts", 1),
    "train_head": ("train_head/*", 1),
}
# Long enough that a kill hits the middle.
LONGER = ["baseline.schedule.epochs=3", "head_train.schedule.epochs=40", "dataset.playground.max_seconds=40"]


def kill_when(project: Project, pattern: str, items: int, *command: str) -> bool:
    """Start a command and kill its whole process group once so many new items exist; whether it was still running."""
    work = project.folder / ".work"
    before = set(work.glob(f"{pattern}/*"))
    process = subprocess.Popen(
        command, cwd=project.folder, env=project.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if len(set(work.glob(f"{pattern}/*")) - before) >= items:
            break
        time.sleep(0.005)
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


@pytest.mark.slow
def test_every_long_stage_survives_a_kill(tmp_path: Path) -> None:
    whole = new_project(tmp_path / "whole")
    whole.run("actionbank", "compose", *LONGER)
    whole.dvc("repro")
    killed = new_project(tmp_path / "killed")
    killed.run("actionbank", "compose", *LONGER)
    for stage, (pattern, items) in PROGRESS.items():
        assert kill_when(killed, pattern, items, "dvc", "repro"), f"{stage} ended before it could be killed"
        assert (killed.folder / ".work").is_dir()
    killed.dvc("repro")
    assert killed.outs() == whole.outs()
    assert killed.tree("results") == whole.tree("results")


@pytest.mark.slow
def test_training_goes_on_after_a_kill(project: Project) -> None:
    override = ["-S", "head_train.schedule.epochs=20"]
    assert kill_when(project, "train_head/*", 2, "dvc", "exp", "run", *override)
    states = sorted(project.folder.glob(".work/train_head/*/epoch_*"))
    assert states, "a killed training leaves its state"
    project.dvc("exp", "run", *override, "-n", "resumed")
    assert not list(project.folder.glob(".work/train_head/*/epoch_*")), "a finished training drops its state"
    resumed = project.tree("models"), project.tree("results")
    for stage in ("train_head", "evaluate"):
        project.run("python", "-m", f"stages.{stage}")
    assert (project.tree("models"), project.tree("results")) == resumed


def test_one_new_video_is_one_new_item(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DVC_ROOT", str(project.folder))

    def items(stage: str) -> set[str]:
        return {path.name for path in (project.folder / ".work" / stage).iterdir() if not path.name.startswith(".")}

    before = {stage: items(stage) for stage in ("make_videos", "extract_frames", "bank_parts")}
    bank = project.folder / "data/playground_mini/bank/val.zarr/val_000"
    old = project.tree(str(bank.relative_to(project.folder)))
    project.run("actionbank", "compose", "dataset.playground.train_videos=4")
    make_videos.make_videos("playground_mini", workers=1)
    extract_frames.extract_frames(workers=1)
    assert len(items("make_videos") - before["make_videos"]) == 1
    assert len(items("extract_frames") - before["extract_frames"]) == 1
    # With the same weights, the bank's parts of the old films stay.
    import_annotations.import_annotations()
    import_boxes.import_boxes()
    infer_bank.infer_bank("train", workers=1, device="cpu")
    assert len(items("bank_parts") - before["bank_parts"]) == 1
    assert project.tree(str(bank.relative_to(project.folder))) == old


def test_annotations_do_not_change_what_windows_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other labels, other ground-truth boxes, none at all: `detections` stay the same bytes."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    source = project.folder / "data/playground_mini/source/annotations"
    bank = project.folder / "data/playground_mini/bank/train.zarr"
    digests = {path: project.tree(str(path.relative_to(project.folder))) for path in bank.glob("*/detections")}
    assert len(digests) == 3
    csv = (source / "train.csv").read_text().splitlines()
    changed = []
    for line in csv:
        cells = line.split(",")
        if len(cells) > 2:
            cells[2:6] = [f"{float(cells[2]) * 0.9:.3f}", "0.100", "0.930", "0.900"]
            cells[6] = "1"
        changed.append(",".join(cells))
    for text in ("\n".join(dict.fromkeys(changed)) + "\n", ""):
        (source / "train.csv").unlink()
        (source / "train.csv").write_text(text)
        import_annotations.import_annotations()
        infer_bank.infer_bank("train", workers=2, device="cpu")
        assert {
            path: project.tree(str(path.relative_to(project.folder))) for path in bank.glob("*/detections")
        } == digests

"""A corrupt byte in a finished project: nothing uses it, and what the message says brings the right bytes back."""

import os
from pathlib import Path

import pytest

from benchmarks.damage import tries
from tests.end_to_end.harness import Project
from tests.project.test_damage import flip


@pytest.mark.slow
@pytest.mark.parametrize("links", ["hardlink,copy", "copy"])
def test_a_damaged_bank_is_refused_and_repaired(project: Project, links: str) -> None:
    project.dvc("config", "cache.type", links)
    project.dvc("checkout", "--relink")
    bank = project.folder / "data/playground_mini/bank/train.zarr"
    outs, head = project.outs(), (project.folder / "models/head.safetensors").read_bytes()
    flip(bank / "train_000/detections/features/c/0/0")
    refused = project.run("python", "-m", "stages.train_head", fails=True)
    assert "features/c/0/0: is damaged: CRC32C is " in refused
    assert "Traceback" not in refused
    project.run("actionbank", "verify", fails=True)
    project.run("actionbank", "verify", "--repair", "--yes")
    assert not bank.exists()
    project.dvc("repro")
    assert project.outs() == outs
    assert (project.folder / "models/head.safetensors").read_bytes() == head
    assert "nothing is damaged" in project.run("actionbank", "verify")


@pytest.mark.slow
def test_of_300_damages_none_is_used_without_a_word(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(project.folder))
    here = Path.cwd()
    os.chdir(project.folder)
    try:
        counts = tries(project.folder, 300)
    finally:
        os.chdir(here)
    assert sum(counts.values()) == 300
    assert sum(count for (_, outcome), count in counts.items() if outcome in ("used", "traceback")) == 0
    assert sum(count for (_, outcome), count in counts.items() if outcome in ("refused", "made again")) > 200

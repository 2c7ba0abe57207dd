"""AIA with an asynchronous memory, as a user runs it: no bank, a memory of the trained detector, nothing run twice."""

import re
from pathlib import Path

import pytest

from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from tests.end_to_end.harness import new_project

CHOICES = (
    *("head=aia_dense_serial", "scope=all", "head.memory=asynchronous", "head_train.init=kinetics"),
    *("dataset.playground.train_videos=1", "backbone.width=8", "head_train.schedule.epochs=1"),
    *("head.window.seconds=7", "head.options.latent=16", "head.options.hidden=16"),
)


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_aia_on_its_own_memory_through_dvc(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    words = [word for choice in CHOICES for word in ("-S", choice)]
    stages = ran(project.dvc("exp", "run", *words))
    assert stages[-3:] == ["train_head", "infer_memory@val", "evaluate"]
    assert not [each for each in stages if each.startswith(("infer_bank", "train_baseline"))]
    memory = open_bank(project.folder / "data/playground_mini/memory/val.zarr")
    trained = read_sealed_json(project.folder / "models/head.json")
    assert memory.provenance["checkpoint_sha256"] == trained["sha256"]
    assert project.metrics()["windows"]["val"]["empty"] < project.metrics()["windows"]["val"]["keyframes"]
    assert "data/playground_mini/memory/val.zarr" in project.outs()
    assert ran(project.dvc("repro")) == []
    assert project.git("status", "--porcelain", "--", "data") == ""
    assert "infer_memory@val" in project.run("actionbank", "status")

    again = ran(project.dvc("exp", "run", *words, "-S", "head_train.memory.by=none"))
    assert again == ["train_head", "infer_memory@val", "evaluate"]

"""Projects that were trained and evaluated, for tests that predict their films again."""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.tables.timelines import Timeline, read_timelines
from stages import evaluate, infer_memory, train_baseline, train_head
from tests.stages.zoo import DATA, new_zoo

FILM = "val_000"
TINY = ("backbone=slowonly_tiny", "backbone.width=8", "head_train.lr=0.01")
SMALL_WINDOW = ("head.window.seconds=5", "head.window.per_second=2")
AIA = ("head.options.latent=16", "head.options.hidden=16", *SMALL_WINDOW)
CHOICES = {
    "bank": (*TINY, "scope=head", "head=lfb_nl", "head.options.latent=8", *SMALL_WINDOW),
    "all": (*TINY, "scope=all", "head=acrn"),
    "aia": (
        *(*TINY, "scope=all", "head=aia_dense_serial", "head.memory=asynchronous", *AIA),
        *("head_train.init=kinetics", "head_train.kinetics=none"),
    ),
}
"A head on a bank, a detector without windows, and AIA with its own memory and objects."


@dataclass(frozen=True)
class Trained:
    """A project, and the sources of its data set."""

    folder: Path
    source: Path

    @property
    def film(self) -> Path:
        """The film of val, with 20 seconds."""
        return self.source / "videos" / f"{FILM}.mp4"

    @property
    def proposals(self) -> Path:
        """The boxes that the project imported."""
        return self.source / "proposals"

    @property
    def objects(self) -> Path:
        """Its objects."""
        return self.source / "objects"

    @property
    def times(self) -> Path:
        """Its videos.csv."""
        return self.source / "annotations/videos.csv"

    @property
    def timeline(self) -> Timeline:
        """The times of the film."""
        return read_timelines(self.times)[FILM]

    def scored(self, name: str = "detected.parquet") -> Path:
        """What `evaluate` wrote."""
        return self.folder / "results/detections" / name


@pytest.fixture(scope="session")
def trained(zoo_data: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Trains and evaluates one of CHOICES, once for all workers; each has its own copy."""

    @functools.cache
    def train(name: str) -> Trained:
        whole, making = shared / f"predicted_{name}", shared / f"predicting_{name}"
        with FileLock(f"{whole}.lock"):
            if not whole.exists():
                making.mkdir()
                _train(making, zoo_data, CHOICES[name])
                making.rename(whole)
        folder = tmp_path_factory.mktemp("predicted") / name
        shutil.copytree(whole, folder, symlinks=True)
        return Trained(folder, zoo_data / DATA / "source")

    return train


def _train(folder: Path, data: Path, choices: tuple[str, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("ACTIONBANK_PARAMS", raising=False)
        project = new_zoo(data, *choices)
        values = project.values
        if values["inputs"]["use"] != "nothing":
            train_baseline.train_baseline(workers=1, device="cpu")
        project.infer_banks()
        train_head.train_head(workers=1, device="cpu")
        for split in values["inputs"]["infer_memory"]:
            infer_memory.infer_memory(split, workers=1, device="cpu")
        evaluate.evaluate(workers=1, device="cpu")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, without a project around it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert "ACTIONBANK_PARAMS" not in os.environ
    return folder

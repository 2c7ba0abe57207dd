"""What a baseline's training leaves; the stage's tests run the training itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import BASELINE, load_checkpoint
from pipeline.training import baseline_training as module
from pipeline.training.baseline_training import train_baseline
from pipeline.training.loop import Fitted
from tests.training.settings import training_settings
from tests.training.test_head_training import SPEC, seeded


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_weights_sidecar_and_metrics_say_what_was_trained_on_what(capsys: pytest.CaptureFixture[str]) -> None:
    detector, settings = seeded(1), training_settings(select="best")
    history = [{"epoch": epoch, "lr": 0.1, "loss": 2.0 / epoch, "map": 0.5 / epoch} for epoch in (1, 2)]
    splits: Any = SimpleNamespace(train=[None] * 7, train_films=2)
    known: Any = {"initial_weights": None, "trained_on": {"frames": "f"}}
    module._write(detector, Fitted(history, 1), splits, SPEC, settings, known)
    tensors, checkpoint = load_checkpoint(BASELINE)
    assert all(torch.equal(value, tensors[name]) for name, value in detector.state_dict().items())
    assert checkpoint.spec == SPEC
    assert checkpoint.record == {
        "channels": detector.roi_channels, "parameters": read_json(BASELINE.with_suffix(".json"))["parameters"],
        "selected_epoch": 1, "history": history, **known,
    }  # fmt: skip
    metrics = read_json(Path("results/baseline/metrics.json"))
    assert (metrics["keyframes"], metrics["films"]) == (7, 2)
    assert metrics["selected"] == {"epoch": 1, "by": "map"}
    assert capsys.readouterr().out == "models/baseline.safetensors: epoch 1, loss 2.0000, 7 keyframes of 2 films\n"


def test_without_frames_nothing_is_trained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data/frames"):
        train_baseline(
            tmp_path / "data", SPEC, training_settings(), log="none", hardware=Hardware(torch.device("cpu"), 1, 1)
        )
    assert not Path("models").exists()

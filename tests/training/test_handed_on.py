"""The baseline in a head's place: the same weights, and a record that says so."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.checkpoint.sidecars import HandedOn
from pipeline.checkpoint.weights import BASELINE, HEAD, read_checkpoint, save_checkpoint
from pipeline.models.settings import LongTermHead
from pipeline.training.handed_on import hand_on_baseline
from tests.checkpoint import sidecars

NAMED = LongTermHead(name="baseline", reads="features", standardise="none")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def hand_on(value: dict[str, Any], **changes: Any) -> None:
    save_checkpoint(BASELINE, {"weight": torch.arange(3.0)}, sidecars.checkpoint(value, **changes))
    hand_on_baseline(NAMED, "all", threads=3, dataset="made")


def test_a_trained_baseline_keeps_its_weights_and_history(capsys: pytest.CaptureFixture[str]) -> None:
    history = [{"epoch": epoch, "lr": 0.1, "loss": 2.0 / epoch, "map": epoch / 10} for epoch in (1, 2)]
    hand_on(sidecars.BASELINE, history=history, selected_epoch=1, parameters={"checkpoint": {"select": "best"}})
    assert HEAD.read_bytes() == BASELINE.read_bytes()
    baseline, spec = read_checkpoint(BASELINE), read_checkpoint(HEAD).scored()
    assert isinstance(spec, HandedOn)
    assert (spec.scope, spec.threads, spec.head, spec.detector.to_json()) == ("all", 3, NAMED, baseline.to_json())
    assert read_json(Path("results/head/metrics.json")) == {
        "head": "baseline", "scope": "all", "mixed_banks": {}, "selected": {"epoch": 1, "by": "map"}, "loss": 2.0,
        "validation": {"map": 0.1},
    }  # fmt: skip
    assert capsys.readouterr().out == "models/head.safetensors: the baseline of epoch 1, handed on\n"


def test_of_a_converted_detector_no_epochs_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    hand_on(sidecars.CONVERTED)
    assert read_json(Path("results/head/metrics.json"))["selected"] is None
    assert capsys.readouterr().out == "models/head.safetensors: the baseline, handed on\n"


def test_what_is_no_baseline_is_refused() -> None:
    with pytest.raises(InputError) as error:
        hand_on(sidecars.BACKBONE)
    assert str(error.value) == "models/baseline.json: is a backbone, expected a detector whose head reads no bank"
    assert not HEAD.exists()
    BASELINE.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"models/baseline\.json"):
        hand_on_baseline(NAMED, "all", threads=1, dataset="made")

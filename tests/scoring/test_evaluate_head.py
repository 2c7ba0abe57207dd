"""What `evaluate` refuses before it scores, and which bank it reads."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import remove_folder
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.weights import HEAD, read_checkpoint, save_checkpoint
from pipeline.features.open_rows import RowSource
from pipeline.features.split_parts import Sources
from pipeline.scoring import evaluate_head as module
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.evaluate_head import evaluate_head
from pipeline.tables.keyframes import Keyframe
from tests.bank.banks import PROVENANCE, make_rows, write_small_bank
from tests.checkpoint import sidecars

OURS, OTHER = PROVENANCE["checkpoint_sha256"], "d" * 64
NOTHING: Any = None


def rows_of(path: Path, **changes: Any) -> RowSource:
    sources = Sources(path, path / "made/annotations", path, path)
    known = {"reads_bank": True, "producer": OURS, "allow_mixed": False, **changes}
    hardware = Hardware(torch.device("cpu"), 1, 1)
    return RowSource(sources=sources, settings=NOTHING, banks={"val": path / "val.zarr"}, hardware=hardware, **known)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write_small_bank(tmp_path / "val.zarr", {"v": make_rows({0.0: 1})}, split="val")


def test_the_bank_of_the_heads_own_checkpoint_is_opened(bank: Path) -> None:
    for value in (sidecars.HEAD, sidecars.LINEAR, sidecars.ALL):
        head = sidecars.checkpoint(value, producer=OURS, mixed_banks={"channels": [1, 2]})
        found, mixed = module.open_val_bank(head, rows_of(bank.parent))
        assert found is not None
        assert (found.where, mixed) == (str(bank), {"channels": [1, 2]})


def test_a_bank_of_another_checkpoint_is_refused_unless_that_is_allowed(bank: Path) -> None:
    head = sidecars.checkpoint(sidecars.HEAD, producer=OTHER)
    with pytest.raises(InputError) as error:
        module.open_val_bank(head, rows_of(bank.parent))
    assert str(error.value) == f"{bank}: was made by checkpoint {OURS}, the head was trained with {OTHER}"
    found, mixed = module.open_val_bank(head, rows_of(bank.parent, allow_mixed=True))
    assert found is not None
    assert mixed == {**sidecars.HEAD["mixed_banks"], "head_and_val_bank": [OURS, OTHER]}


def test_a_detector_without_windows_reads_no_bank(tmp_path: Path) -> None:
    for value in (sidecars.HANDED_ON, {**sidecars.ALL, "head": sidecars.LINEAR["head"]}):
        found, mixed = module.open_val_bank(sidecars.checkpoint(value), rows_of(tmp_path))
        assert (found, mixed) == (None, value["mixed_banks"])


def test_a_head_that_reads_windows_takes_them_from_a_bank_though_its_rows_come_from_frames(bank: Path) -> None:
    found, _ = module.open_val_bank(
        sidecars.checkpoint(sidecars.ALL, producer=OURS), rows_of(bank.parent, reads_bank=False)
    )
    assert found is not None
    assert found.where == str(bank)


@pytest.mark.parametrize(
    ("scope", "classes", "message"),
    [
        ("all", 5, "was trained in scope head, the parameters say all"),
        ("head", 6, "scores 5 classes, dataset.classes is 6"),
    ],
)
def test_a_head_of_other_parameters_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str, classes: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(HEAD, {}, sidecars.head_checkpoint())
    settings: Any = SimpleNamespace(metric="ava")
    with pytest.raises(InputError) as error:
        evaluate_head(settings, rows_of(tmp_path), scope=scope, classes=classes, options=NOTHING)
    assert str(error.value) == f"models/head.safetensors: {message}"
    assert not Path("results").exists()


def test_a_map_that_is_not_there_is_shown_as_none() -> None:
    assert [module._shown(each) for each in (0.12345, 0.0, float("nan"))] == ["0.1235", "0.0000", "none"]


def test_it_is_told_where_no_score_becomes_a_detection(capsys: pytest.CaptureFixture[str]) -> None:
    scored = [ScoredKeyframe(Keyframe("a", 900, 0), np.zeros((1, 4)), np.array([[0.0625]], np.float32))]
    module._warn_without_detections({"detected": scored, "ground_truth": []}, 0.5)
    assert capsys.readouterr().err == (
        "warning: detected: no detection: the highest score of 1 box is 0.0625, and evaluation.action_threshold is "
        "0.5\n"
    )


def test_a_detector_reads_the_memory_that_it_has_made_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    memory = Path("made/memory/val.zarr")
    head = {**sidecars.ALL["head"], "memory": "asynchronous", "standardise": "none"}
    sha256 = save_checkpoint(HEAD, {}, sidecars.checkpoint({**sidecars.ALL, "head": head}, producer=None, banks={}))
    checkpoint = read_checkpoint(HEAD)
    rows = rows_of(Path(), producer="baseline", reads_bank=False)
    for made_by in (sha256, OTHER):
        remove_folder(memory)
        provenance = {**PROVENANCE, "checkpoint_sha256": made_by}
        write_small_bank(memory, {"v": make_rows({0.0: 1})}, split="val", provenance=provenance)
        if made_by == sha256:
            found, mixed = module.open_val_bank(checkpoint, rows)
            assert found is not None
            assert (found.where, mixed) == (str(memory), {})
    with pytest.raises(InputError) as error:
        module.open_val_bank(checkpoint, rows)
    assert str(error.value) == (
        f"{memory}: was made by checkpoint {OTHER}, expected {sha256}; `dvc repro` makes it anew, and "
        "bank.allow_mixed=true takes any"
    )
    _, mixed = module.open_val_bank(checkpoint, replace(rows, allow_mixed=True))
    assert mixed == {"val_bank_and_expected": [OTHER, sha256]}

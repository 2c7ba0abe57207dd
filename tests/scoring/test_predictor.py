"""A checkpoint that scores: what it is built of, and which one is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.bank.reader import open_bank
from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.build_scope import build_scope_head
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import load_checkpoint, save_checkpoint
from pipeline.models.detector import Detector
from pipeline.models.settings import Labels, LongTermHead
from pipeline.scoring import predictor as module
from pipeline.scoring.keyframe_rows import score_rows, scoring_rows
from pipeline.scoring.predictor import Predictor, make_predictor
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.tables.select_boxes import ANY_SCORE
from tests.bank.banks import make_rows, write_small_bank
from tests.checkpoint import sidecars
from tests.training.test_head_training import SPEC

HARDWARE = Hardware(torch.device("cpu"), 1, 5)
LINEAR = HeadSpec(
    scope="head", head=LongTermHead(name="linear", reads="features", standardise="none"), backbone=None, width=None,
    input=None, roi=None, labels=Labels("single", background=True), columns=4, classes=3, roi_channels=4,
    bank_channels=0, dropout=0.5, feature_dropout=0.0, threads=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A predictor sets those of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def head_file(path: Path) -> Path:
    torch.manual_seed(0)
    record: Any = {"mixed_banks": {}}
    save_checkpoint(path, build_scope_head(LINEAR).state_dict(), Checkpoint(spec=LINEAR, record=record))
    return path


def opened(path: Path) -> Predictor:
    return make_predictor(*load_checkpoint(path), HARDWARE, compute_dtype="fp32")


def test_a_head_scores_rows_as_score_rows_does_and_by_its_labels(tmp_path: Path) -> None:
    bank = open_bank(write_small_bank(tmp_path / "val.zarr", {"v": make_rows({0.0: 3, 1.0: 1})}))
    nobody = (np.empty((0, 4)), np.empty((0, 3), bool), np.empty((0, 4)), np.empty(0))
    keyframes = [KeyframeBoxes(Keyframe("v", at, at), *nobody) for at in (0.0, 1.0)]
    rows = scoring_rows(bank, keyframes, "detections", rule=ANY_SCORE)
    found = opened(head_file(tmp_path / "head.safetensors"))
    assert not found.model.training
    scored = found.score_rows(rows)
    assert [each.scores.shape for each in scored] == [(3, 3), (1, 3)]
    logits = score_rows(found.model, rows, ScoreSettings(HARDWARE.device, "fp32", scores_of=lambda each: each))
    for one, plain in zip(scored, logits, strict=True):
        expected = torch.softmax(torch.from_numpy(plain.scores), dim=1)[:, 1:]  # without the background
        np.testing.assert_allclose(one.scores, expected.numpy(), atol=1e-6)


def test_a_baseline_that_was_handed_on_is_a_detector_that_scores_films(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weights = build_baseline(SPEC).state_dict()
    handed_on = sidecars.checkpoint(
        sidecars.HANDED_ON, detector={**Checkpoint(spec=SPEC).to_json(), "sha256": sidecars.SHA}
    )
    found = make_predictor(weights, handed_on, HARDWARE, compute_dtype="fp32")
    assert isinstance(found.model, Detector)
    assert torch.get_num_threads() == 2, "as many threads as the sidecar says"
    told: list[Any] = []

    def score_films(detector, store, keyframes, scoring, *, clip, batch, at_a_time) -> dict:
        told.append((detector, store, keyframes, scoring.window_of, scoring.compute_dtype, clip, batch))
        return {}

    monkeypatch.setattr(module, "score_films", score_films)
    store: Any = "store"
    found.score_films(store, [])
    assert told == [(found.model, "store", [], None, "fp32", found.spec.clip, 5)]


def test_other_kinds_and_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {}, sidecars.checkpoint(sidecars.BACKBONE))
    with pytest.raises(InputError, match=rf"^{path.with_suffix('.json')}: has no 'scope'; it was changed, or made by "):
        opened(path)
    with pytest.raises(InputError, match=r"no\.json"):
        opened(tmp_path / "no.safetensors")
    wide = replace(LINEAR, roi_channels=6)
    record: Any = {"mixed_banks": {}}
    save_checkpoint(path, build_scope_head(LINEAR).state_dict(), Checkpoint(spec=wide, record=record))
    with pytest.raises(InputError) as error:
        opened(path)
    assert str(error.value) == (
        f"{path}: the weights do not fit the model: 1 of another shape (the first: classifier.weight)"
    )

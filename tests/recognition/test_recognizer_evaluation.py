"""What an evaluation writes, and that all of it follows from the scores that it stores."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.sidecars import Checkpoint
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.checkpoint.weights import RECOGNIZER, save_checkpoint
from pipeline.evaluation.clip_report import read_scores, write_clip_report
from pipeline.evaluation.settings import RecognitionEvaluation, ViewsOf
from pipeline.recognition.recognizer_evaluation import PREDICTIONS, RESULTS, evaluate_recognizer
from tests.recognition.clips import NAMES, make_data, spec_of


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def saved(spec: RecognizerSpec) -> None:
    torch.manual_seed(3)
    save_checkpoint(
        RECOGNIZER, build_recognizer(spec).state_dict(), Checkpoint(spec=spec, record={"parameters": {"threads": 1}})
    )


def evaluate(data: Path, workers: int = 2, **changes: Any) -> None:
    settings = {"split": "val", "views": ["efficient", "accurate"], "rule": "ours", "compute_dtype": "fp32", **changes}
    evaluate_recognizer(
        data,
        RecognitionEvaluation.model_validate(settings),
        classes=len(NAMES),
        hardware=Hardware(torch.device("cpu"), workers, 8),
    )


def test_an_evaluation_writes_scores_from_which_every_table_follows(capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(Path("data/clips"), train=1, val=9)
    saved(spec_of())
    evaluate(data)
    told = capsys.readouterr().out
    first = digest_tree(RESULTS)
    evaluate(data, workers=1)
    assert digest_tree(RESULTS) == first, "neither a run nor the number of workers changes a byte"

    found = read_json(RESULTS / "metrics.json")
    assert found["views"] == "accurate"
    assert (found["clips"], found["dataset"], found["head"], found["split"]) == (9, "clips", "trn_multiscale", "val")
    assert f"top-1 (top-5) efficient {found['efficient']['top1']:.4f} (1.0000)" in told
    scores: dict[ViewsOf, np.ndarray] = {}
    kinds: tuple[ViewsOf, ...] = ("efficient", "accurate")
    for kind in kinds:
        video_ids, labels, scores[kind] = read_scores(PREDICTIONS / f"{kind}.parquet")
        assert video_ids == [f"clip{number:02}" for number in range(1, 10)]
        assert scores[kind].sum(axis=1) == pytest.approx(np.ones(9))
    again = write_clip_report(
        Path("again"), labels, scores, names=NAMES, rule="ours",
        extra={key: found[key] for key in ("dataset", "split", "backbone", "head")},
    )  # fmt: skip
    assert again == found
    assert digest_tree(Path("again")) == digest_tree(_without_predictions())


def _without_predictions() -> Path:
    for each in PREDICTIONS.iterdir():
        each.unlink()
    PREDICTIONS.rmdir()
    return RESULTS


def test_relations_drawn_anew_as_published_are_the_same_in_two_runs() -> None:
    data = make_data(Path("data/clips"), train=1, val=5)
    saved(spec_of(segments=5, test_relations="drawn", per_scale=2))
    evaluate(data, views=["efficient"])
    first = digest_tree(RESULTS)
    torch.manual_seed(99)
    evaluate(data, views=["efficient"])
    assert digest_tree(RESULTS) == first


def test_what_does_not_fit_is_refused() -> None:
    data = make_data(Path("data/clips"), train=1, val=2, unlabelled=2)
    saved(spec_of())
    with pytest.raises(InputError) as error:
        evaluate(data)
    assert str(error.value) == (
        "data/clips/labels: 1 of 2 clips of val have no label, expected a split with labels in "
        "recognition.evaluation.split"
    )
    saved(dataclasses.replace(spec_of(), classes=5))
    with pytest.raises(InputError) as error:
        evaluate(data)
    assert str(error.value) == (
        "models/recognizer.safetensors: scores 5 classes, recognition.dataset.classes is 3, and labels.json lists 3; "
        "expected one number"
    )

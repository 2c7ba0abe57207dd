"""A trained head explained through its project, and the command that does it."""

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.head_training import compose
from benchmarks.synthetic_bank import Size, write_all
from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.hardware import hardware_of
from pipeline.checkpoint.weights import HEAD
from pipeline.commands.explain import explain
from pipeline.models.detector import Detector
from pipeline.params import load_params
from pipeline.params.head_rows import row_source
from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.explain_split import explain_split
from pipeline.scoring.detections import detections_table
from pipeline.scoring.predictor import Predictor, open_predictor
from pipeline.tables.schemas import DETECTIONS, read_table
from stages import evaluate, train_head

APP = new_app()
APP.command()(explain)


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    write_all(folder, Size(films=3, val_films=2, seconds=12, channels=8, classes=3), workers=1)
    return folder


def start(banks: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, *overrides: str) -> None:
    """Trains a head in an empty folder and evaluates it."""
    (folder / "data").symlink_to(banks / "data")
    (folder / "models").mkdir()
    (folder / "models/baseline.json").symlink_to(banks / "models/baseline.json")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    compose(folder, name, ["head_train.schedule.epochs=1", "head_train.schedule.warmup_epochs=0", *overrides])
    train_head.train_head(workers=1, device="cpu")
    evaluate.evaluate(workers=1, device="cpu")


def test_the_scores_are_those_of_evaluate_and_films_can_be_chosen(banks, tmp_path, monkeypatch) -> None:
    start(banks, tmp_path, monkeypatch, "lfb_nl", "head.window.seconds=5", "head.options.latent=4")
    params = load_params()
    source = row_source(params, hardware_of("cpu", 1, 8))
    told: dict[str, Any] = {"boxes": "detected", "rule": params.evaluation.rule}
    found = explain_split(source, **told)
    table = detections_table(found.scored, action_threshold=params.evaluation.action_threshold)
    assert table == read_table(Path("results/detections/detected.parquet"), DETECTIONS)
    films = sorted(set(found.attention["video_id"].to_pylist()))
    assert len(films) == 2
    one = explain_split(source, films=films[1:], **told)
    assert set(one.attention["video_id"].to_pylist()) == set(films[1:])
    with pytest.raises(InputError, match=rf"val\.zarr: has no film 'other', expected some of {', '.join(films)}$"):
        explain_split(source, films=["other"], **told)

    done = CliRunner().invoke(APP, ["--film", films[0], "--top", "3"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    written = read_table(Path("results/explain/attention.parquet"), ATTENTION)
    persons = sum(len(each.boxes_xyxy) for each in found.scored if each.keyframe.video_id == films[0])
    seconds = sum(each.keyframe.video_id == films[0] for each in found.scored)
    said = f"results/explain: {len(written)} weights of {persons} persons in {seconds} seconds"
    assert done.output.splitlines()[-1] == said
    assert len(written) == 3 * 2 * persons
    with Path("results/explain/attention.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(written)


def test_a_detector_is_refused(banks, tmp_path, monkeypatch) -> None:
    start(banks, tmp_path, monkeypatch, "lfb_nl", "head.window.seconds=5", "head.options.latent=4")
    source = row_source(load_params(), hardware_of("cpu", 1, 8))

    class Whole(Detector):
        def __init__(self) -> None:
            pass

    opened = open_predictor(HEAD, source.hardware, compute_dtype="fp32")
    whole = Predictor(opened.spec, Whole(), opened.hardware, "fp32")
    monkeypatch.setattr("pipeline.predict.explain_split.open_predictor", lambda *_, **__: whole)
    message = "trained in scope all and scores frames, not rows of a bank; `actionbank predict FILM --explain 20` tells"
    with pytest.raises(InputError, match=message):
        explain_split(source, boxes="detected", rule=load_params().evaluation.rule)

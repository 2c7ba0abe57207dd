"""A trained head explained through its project, and the command that does it."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.head_training import compose
from benchmarks.synthetic_bank import Size, write_all
from pipeline.base.command import new_app
from pipeline.base.errors import InputError
from pipeline.base.hardware import hardware_of
from pipeline.commands.explain import explain
from pipeline.params import load_params
from pipeline.params.head_rows import row_source
from pipeline.predict.attention_table import ATTENTION
from pipeline.predict.explain_split import explain_split
from pipeline.scoring.detections import detections_table
from pipeline.tables.schemas import BOX_COLUMNS, DETECTIONS, read_table
from stages import evaluate, train_head
from tests.predict.conftest import FILM, Trained

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


@pytest.mark.parametrize("name", ["aia", "bank"])
def test_what_evaluate_scored_is_explained_in_both_scopes(
    name: str, trained: Callable[[str], Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head on a bank, and a detector on frames with the memory and the objects that it reads."""
    project = trained(name)
    monkeypatch.chdir(project.folder)
    params = load_params()
    source = row_source(params, hardware_of("cpu", 1, 8))
    for boxes in ("detected", "ground_truth"):
        found = explain_split(source, boxes=boxes, rule=params.evaluation.rule)
        table = detections_table(found.scored, action_threshold=params.evaluation.action_threshold)
        assert table == read_table(project.scored(f"{boxes}.parquet"), DETECTIONS)
        total: dict[tuple[Any, ...], float] = {}
        for row in found.attention.to_pylist():
            key = (row["video_id"], row["timestamp"], *(row[edge] for edge in BOX_COLUMNS), row["block"], row["layer"])
            total[key] = total.get(key, 0) + row["weight"]
        assert list(total.values()) == pytest.approx([1.0] * len(total), abs=1e-5)
        persons = {
            (each.keyframe.video_id, each.keyframe.timestamp, *box)
            for each in found.scored for box in each.boxes_xyxy.tolist()
        }  # fmt: skip
        assert {key[:6] for key in total} == persons
    where = "frames" if name == "aia" else r"val\.zarr"
    one = explain_split(source, boxes="detected", rule=params.evaluation.rule, films=[FILM])
    assert {each.keyframe.video_id for each in one.scored} == {FILM}
    with pytest.raises(InputError, match=rf"{where}: has no film 'other', expected some of .*{FILM}"):
        explain_split(source, boxes="detected", rule=params.evaluation.rule, films=["other"])
    looks = {(row["block"], row["seen"]) for row in one.attention.to_pylist()}
    of_frames = {("P", "person"), ("O", "object"), ("M", "row"), ("M", "person")}
    assert looks == (of_frames if name == "aia" else {("M", "row")})


def test_a_detector_without_attention_is_refused(
    trained: Callable[[str], Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained("all").folder)
    params = load_params()
    with pytest.raises(InputError, match=r"^head acrn: it attends to nothing"):
        explain_split(row_source(params, hardware_of("cpu", 1, 8)), boxes="detected", rule=params.evaluation.rule)

"""The gap between train and val rows, and what closes it, through the stages on six films of 20 s."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import gap as benchmark
from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import read_json, write_json
from pipeline.base.randomness import seed_of
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.weights import BASELINE, HEAD, load_checkpoint, read_checkpoint
from pipeline.commands.bank import bank_app
from pipeline.params import load_params
from pipeline.project.compose import compose_params
from pipeline.tables.folds import in_folds
from stages import (
    evaluate,
    extract_frames,
    import_annotations,
    import_boxes,
    infer_bank,
    make_videos,
    train_baseline,
    train_head,
)
from tests.recipes import CONF
from tests.stages.zoo import DATA, NAME, SMALL, SOURCE, _compose

FILMS = ["dataset.playground.train_videos=4", "dataset.playground.val_videos=2"]
TINY = ["backbone=slowonly_tiny", *SMALL, *FILMS, "baseline.global_batch=8", "baseline.bn_batch=8"]
SECONDS = range(904, 912)
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gap")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        _compose([*TINY])
        make_videos.make_videos(NAME, workers=1)
        extract_frames.extract_frames(workers=1)
        for split in ("train", "val"):
            file = SOURCE / f"{split}.csv"
            lines = file.read_text().splitlines()
            file.write_text("".join(f"{line}\n" for line in lines if int(line.split(",")[1]) in SECONDS))
        import_annotations.import_annotations()
        import_boxes.import_boxes()
    return folder


def enter(folder: Path, data: Path, patch: pytest.MonkeyPatch) -> None:
    """Make a folder on the data set a project, and the current one."""
    patch.chdir(folder)
    patch.setenv("DVC_ROOT", str(folder))
    patch.delenv("ACTIONBANK_PARAMS", raising=False)
    DATA.mkdir(parents=True)
    for name in ("frames", "boxes", "annotations"):
        (DATA / name).symlink_to(data / DATA / name)


@pytest.fixture
def project(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(tmp_path, data, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a baseline and its banks. Tests copy it."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, data, patch)
        baseline_and_banks("bank.dtype=fp32")
    return folder


@pytest.fixture
def trained(plain: Path, project: Path) -> Path:
    """A copy of `plain`, the current folder."""
    shutil.copy(plain / "params.yaml", project)
    for name in ("models", "results", ".work", DATA / "bank"):
        shutil.copytree(plain / name, project / name)
    return project


def baseline_and_banks(*overrides: str) -> dict[str, Any]:
    _compose([*TINY, *overrides])
    train_baseline.train_baseline(workers=1, device="cpu")
    for split in ("train", "val"):
        infer_bank.infer_bank(split, workers=1, device="cpu")
    return read_checkpoint(BASELINE).to_json()


def head_and_scores(*overrides: str) -> dict[str, Any]:
    _compose([*TINY, *overrides])
    train_head.train_head(workers=1, device="cpu")
    evaluate.evaluate(workers=1, device="cpu")
    metrics: dict[str, Any] = read_json(Path("results/evaluate/metrics.json"))
    return metrics


def gap(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(bank_app, ["gap", "--json", *words], catch_exceptions=False)
    found: dict[str, Any] = json.loads(result.output)
    return found


def refused(*words: str) -> str:
    with pytest.raises(InputError) as caught:
        gap(*words)
    return str(caught.value)


def test_the_gap_of_a_trained_baseline(trained: Path) -> None:
    found = gap()
    assert (
        CliRunner().invoke(bank_app, ["gap", "--json"]).output
        == json.dumps(found, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    )
    validation = read_json(Path("results/baseline/metrics.json"))["validation"]
    for kind in ("detected", "ground_truth"):
        for group, value in found["val"]["ap"][kind].items():
            # The classifier on stored rows is the baseline itself.
            assert value == pytest.approx(validation[f"{group}_{kind}"], abs=1e-6), (kind, group)
    banks = {split: open_bank(DATA / "bank" / f"{split}.zarr") for split in ("train", "val")}
    for split, bank in banks.items():
        side = found[split]
        assert side["digest"] == bank.digest
        assert side["rows"] == side["rows_in_films"] == bank.count("detections")
        assert side["keyframes"] == side["keyframes_in_films"]
        assert side["norm"]["mean"] > 0
    assert [found["train"][name] for name in ("films", "fitted_films")] == [4, 4]
    assert [found["val"][name] for name in ("films", "fitted_films")] == [2, 0]
    assert 0 < found["mean_shift"]["mean"] <= found["mean_shift"]["max"]
    for name in ("train_against_val", "between_train_films"):
        assert 0 <= found[name]["lowest"] <= found[name]["accuracy"] <= found[name]["highest"] <= 1

    few = gap("--rows", "40")
    for split in banks:
        assert few[split]["rows"] == 40
        assert 0 < few[split]["keyframes"] < found[split]["keyframes"]
    assert gap("--rows", "40") == few

    half = gap("--folds", "2", "--use", "1")
    assert half["train"]["films"] == sum(in_folds(film, folds=2, use=[1]) for film in banks["train"].videos)
    assert half["choice"] == "fold 1 of 2"
    assert half["between_train_films"] is None

    bare = gap("--checkpoint", "none")
    assert "ap" not in bare["train"]
    assert bare["train"]["fitted_films"] is None
    assert bare["mean_shift"] == found["mean_shift"]
    text = CliRunner().invoke(bank_app, ["gap"]).output.splitlines()
    train = banks["train"].count("detections")
    assert text[0] == (
        f"train: data/{NAME}/bank/train.zarr: 4 films, 4 of them in the checkpoint's training; "
        f"{train} of {train} rows, {found['train']['keyframes']} of {found['train']['keyframes']} keyframes"
    )
    assert text[2].split() == ["train", "val"]
    assert text[3].startswith("mAP, annotated boxes ")
    assert any(line.startswith("  long-term ") for line in text)
    assert text[-3].startswith("shift of a channel's mean, in its standard deviations: ")
    assert re.fullmatch(
        r"train against val, films held out: accuracy [\d.]+ \([\d.]+-[\d.]+\), AUC [\d.]+; 0\.5 is chance", text[-2]
    )
    assert text[-1].startswith("two halves of the train films, the same way: accuracy ")
    text = CliRunner().invoke(bank_app, ["gap", "--folds", "2", "--use", "1"]).output.splitlines()
    assert " films (fold 1 of 2), " in text[0]
    assert text[-1].endswith("not measured, it takes 4 train films with rows")


def test_what_the_gap_refuses(trained: Path) -> None:
    sidecar = read_checkpoint(BASELINE).to_json()
    assert refused("--folds", "2") == refused("--use", "1") == "--folds and --use belong together: found one of them"
    assert refused("--folds", "2", "--use", "2") == "--use: found 2, expected folds from 0 to 1"
    sha = sidecar["sha256"]
    empty = next(n for n in range(2, 99) if not any(in_folds(f"train_{i:03d}", folds=99, use=[n]) for i in range(4)))
    assert refused("--folds", "99", "--use", str(empty)) == (
        f"data/{NAME}/bank/train.zarr: none of its 4 films is in fold {empty} of 99"
    )
    write_json(BASELINE.with_suffix(".json"), {**sidecar, "head": {**sidecar["head"], "name": "acrn"}})
    assert refused() == (
        "models/baseline.safetensors: is a detector with head acrn, expected a baseline with head linear, which "
        "scores the features of a bank as they are; --checkpoint none measures without AP"
    )
    write_json(BASELINE.with_suffix(".json"), sidecar)
    _compose([*TINY, "baseline.seed=5"])
    train_baseline.train_baseline(workers=1, device="cpu")
    other = read_checkpoint(BASELINE).sha256
    assert refused() == f"data/{NAME}/bank/train.zarr: was made by checkpoint {sha}, expected {other}"
    infer_bank.infer_bank("val", workers=1, device="cpu")
    assert refused("--checkpoint", "none").startswith(
        f"data/{NAME}/bank/train.zarr and data/{NAME}/bank/val.zarr do not belong together: checkpoint_sha256 is "
    )


@pytest.mark.parametrize("scope", ["head", "all"])
def test_baseline_and_head_train_on_different_films(project: Path, scope: str) -> None:
    baseline_and_banks("baseline.videos.folds=2")
    counts = read_json(Path("results/baseline/metrics.json"))
    mine = [[film for film in open_bank(DATA / "bank/train.zarr").videos if in_folds(film, folds=2, use=[fold])]
            for fold in (0, 1)]  # fmt: skip
    assert counts["films"] == len(mine[0]) > 0
    assert read_checkpoint(BASELINE).record["parameters"]["videos"] == {"folds": 2, "use": [0]}
    other = ["head=lfb_nl", f"scope={scope}", "head_train.videos={folds: 2, use: [1]}", "baseline.videos.folds=2"]
    head_and_scores(*other)
    head = read_json(Path("results/head/metrics.json"))
    assert head["films"] == len(mine[1]) == 4 - counts["films"] > 0
    assert head["keyframes"] < counts["keyframes"] * 4
    assert read_checkpoint(HEAD).record["parameters"]["videos"] == {"folds": 2, "use": [1]}
    assert load_params().head_train.videos.use == [1]
    found = gap()
    assert found["choice"] == "fold 1 of 2", "the films that the head trains on"
    assert [found["train"][name] for name in ("films", "fitted_films")] == [len(mine[1]), 0]
    assert gap("--folds", "2", "--use", "0")["train"]["fitted_films"] == len(mine[0])


def test_a_choice_without_a_film_is_refused_by_both_trainings(trained: Path) -> None:
    empty = next(n for n in range(99) if not any(in_folds(f"train_{i:03d}", folds=99, use=[n]) for i in range(4)))
    for block, training in (("baseline", train_baseline.train_baseline), ("head_train", train_head.train_head)):
        _compose([*TINY, f"{block}.videos={{folds: 99, use: [{empty}]}}"])
        with pytest.raises(InputError) as caught:
            training(workers=1, device="cpu")
        assert str(caught.value) == f"{block}.videos: none of the 4 train films is in fold {empty} of 99"


def test_a_baseline_that_never_saw_the_labels_fills_a_bank(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = "baseline.schedule.epochs=0"
    sidecar = baseline_and_banks(none, "baseline.checkpoint.select=best")
    assert "models/baseline.safetensors: initial weights, " in capsys.readouterr().out
    weights, _ = load_checkpoint(BASELINE)
    torch.manual_seed(seed_of(0, "initial weights"))
    initial = build_baseline(read_checkpoint(BASELINE).detector()).state_dict()
    assert all(torch.equal(weights[name], initial[name]) for name in initial)
    assert sidecar["selected_epoch"] == 0
    assert [(row["epoch"], row["loss"]) for row in sidecar["history"]] == [(0, None)]
    metrics = read_json(Path("results/baseline/metrics.json"))
    assert metrics["selected"] == {"epoch": 0, "by": "initial weights"}
    assert metrics["loss"] is None
    assert 0 <= metrics["validation"]["map"] <= 1
    assert len(Path("results/baseline/epochs.tsv").read_text().splitlines()) == 2
    assert gap()["train"]["fitted_films"] == 0
    for scope in ("head", "all"):
        found = head_and_scores(none, "head=lfb_nl", f"scope={scope}")
        assert found["ground_truth"]["num_detections"] > 0
        assert read_sealed_json(HEAD.with_suffix(".json"))["baseline"] == sidecar["sha256"]
    handed = head_and_scores(none, "head=baseline", "scope=all")
    assert read_json(Path("results/head/metrics.json"))["selected"] == {"epoch": 0, "by": "initial weights"}
    assert handed["ground_truth"]["map"] == pytest.approx(metrics["validation"]["map"], abs=1e-3)


def test_the_documented_choice_composes_and_the_fold_is_as_documented() -> None:
    text = (CONF.parent / "docs/gap.md").read_text()
    (block,) = re.findall(r"```sh\n(dvc exp run.*?)```", text, re.DOTALL)
    words = shlex.split(block)
    values = compose_params([word for before, word in pairwise(words) if before == "-S"], CONF)
    chosen = [values[each]["videos"] for each in ("baseline", "head_train")]
    assert chosen == [{"folds": 2, "use": [0]}, {"folds": 2, "use": [1]}]
    ((code, film, fold),) = re.findall(r"python -c '(.*?)' (\S+) +# (\d)", text)
    said = subprocess.run([sys.executable, "-c", code, film], capture_output=True, text=True, check=True).stdout
    assert said == f"{fold}\n"
    assert in_folds(film, folds=2, use=[int(fold)])


def test_the_benchmark_makes_its_tables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: dict[str, Callable[..., None]] = {
        "stages.train_baseline": train_baseline.train_baseline,
        "stages.infer_bank": infer_bank.infer_bank,
        "stages.train_head": train_head.train_head,
        "stages.evaluate": evaluate.evaluate,
    }
    ran: list[str] = []

    def here(_: Path, name: str, *words: str) -> None:
        ran.append(name)
        stages[name](*words, workers=1, device="cpu")

    monkeypatch.setattr(benchmark, "stage", here)
    monkeypatch.setattr(benchmark, "measured_gap", lambda _: gap())
    monkeypatch.setattr(benchmark, "PRECISION", ("linear",))
    rows = {name: replace(row, heads=("linear",)) for name, row in benchmark.ROWS.items()}
    monkeypatch.setattr(benchmark, "ROWS", rows)
    monkeypatch.setattr(benchmark, "BOTH", ("linear",))
    chosen = ["as is", "fp32 bank", "baseline on fold 0 and head on fold 1"]
    found = benchmark.run_seed(project, 3, chosen, TINY)
    assert list(found) == chosen
    assert ran.count("stages.train_baseline") == 2
    assert ran.count("stages.infer_bank") == 6
    assert [each["gap"]["choice"] for each in found.values()] == ["fold 0 of 1", "fold 0 of 1", "fold 1 of 2"]
    page = benchmark.report([found, found])
    lines = page.splitlines()
    assert sum(line.startswith("| ") for line in lines) == (1 + 3) + 2 * (1 + 3) + 2 * (1 + 1)
    assert all(line.count("|") == 9 for line in lines[2:7])
    for line in lines:
        if line.startswith("| linear"):
            half, single = (float(cell.split()[0]) for cell in line.split("|")[2:4])
            assert half == pytest.approx(single, abs=0.05)

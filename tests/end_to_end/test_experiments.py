"""What a researcher does with the pipeline: reproduce, change one word, compare."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.harness import REPOSITORY, Project, new_project

README = (REPOSITORY / "README.md").read_text()
HEAD_STAGES = ["train_head", "evaluate"]


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def test_a_fresh_clone_reproduces_and_then_has_nothing_to_do(finished: Project) -> None:
    assert (finished.folder / "data/playground_mini/bank/val.zarr/manifest.json").is_file()
    metrics = finished.metrics()
    assert metrics["head"] == "lfb_avg"
    assert 0 <= metrics["detected"]["map"] <= 1
    assert 0 <= metrics["ground_truth"]["map"] <= 1
    assert ran(finished.dvc("repro")) == []
    assert "up to date" in finished.dvc("status", "dvc.yaml")
    assert finished.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_two_machines_make_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    other = new_project(tmp_path / "deeper" / "elsewhere")
    other.dvc("repro")
    assert other.outs() == finished.outs()
    assert other.tree("results") == finished.tree("results")


def check_table_of_experiments(project: Project) -> None:
    """`dvc exp show` begins with what is compared, and the view of a sweep shows what was swept."""
    table = project.dvc("exp", "show")
    head, first = next((line.split(), line) for line in table.splitlines() if "Experiment" in line)
    assert head[:5] == ["Experiment", "Created", "dataset", "head", "mAP"]
    assert len(first) < 1024, "DVC leaves out columns beyond"
    assert not [name for name in head if "metrics.json:" in name], "a key that two files have is shown with its file"
    row = next(line for line in table.splitlines() if "[nl]" in line).split()
    assert {"playground_mini", "lfb_nl"} <= set(row)

    (view,) = re.findall(r"^\| see a sweep \| `(.*?)`", README, re.MULTILINE)
    table = project.run(*shlex.split(view))
    head = next(line.split() for line in table.splitlines() if "Experiment" in line)
    assert head == ["Experiment", "Created", "head", "mAP", *head[4:]]
    assert "head.window.seconds" in head
    assert not [name for name in head if "/" in name]


def check_linear_head(project: Project) -> None:
    """It reads no bank."""
    output = project.dvc("exp", "run", "-S", "head=linear", "-n", "linear")
    assert ran(output) == HEAD_STAGES
    assert project.metrics()["head"] == "linear"
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    assert params["bank"]["make"] == []
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    assert not [each["path"] for each in lock["train_head"]["deps"] if each["path"].endswith(".zarr")]


def test_changing_one_word_reruns_the_head_and_moves_the_metric(project: Project) -> None:
    before = project.metrics()
    assert ran(project.dvc("exp", "run", "-S", "head=lfb_nl", "-n", "nl")) == HEAD_STAGES
    after = project.metrics()
    assert after["head"] == "lfb_nl"
    assert after["map"] != before["map"]
    check_linear_head(project)

    shown = json.loads(project.dvc("exp", "show", "--json"))
    names = {each["name"] for experiment in shown for each in (experiment.get("experiments") or [])}
    assert names == {"nl", "linear"}
    check_table_of_experiments(project)
    assert "mAP " in project.dvc("metrics", "diff", "HEAD", "nl")
    assert "head.name" in project.dvc("params", "diff", "HEAD", "nl")
    assert "head.window.seconds" in project.dvc("params", "diff", "nl", "linear")
    project.dvc("plots", "diff", "HEAD", "nl", "-o", "plots")
    page = (project.folder / "plots/index.html").read_text()
    titles = re.findall('"title": {"text": "([^"]*)"', page)
    assert sorted(titles) == [
        "AP per class, detected boxes",
        "AP per class, ground-truth boxes",
        "Loss of the baseline",
        "Loss of the head",
        "Precision and recall, mean over classes",
        "Validation mAP of the baseline",
        "Validation mAP of the head",
        "mAP by IoU, detected boxes",
        "mAP by IoU, ground-truth boxes",
    ], "each picture is one of dvc.yaml's, none is drawn over the number of a row"
    axes = set(re.findall('"title": "([^"]*)"', page))
    assert axes == {"AP", "class", "recall", "precision", "IoU", "mAP", "epoch", "loss"}
    for revision in ("HEAD", "nl"):
        assert f'"{revision}"' in page, f"nothing of {revision} is plotted"

    compared = project.run("actionbank", "compare", "HEAD", "nl")
    assert "stand" in compared
    project.dvc("exp", "apply", "nl")
    assert "as conf/ says" in project.run("actionbank", "compose", "--check")
    assert ran(project.dvc("exp", "run", "-S", "head=lfb_avg")) == [], "going back runs nothing"


def test_a_typo_is_refused_before_anything_runs_and_names_the_choices(project: Project) -> None:
    before = project.git("status", "--porcelain")
    assert "lfb_avg" in project.dvc("exp", "run", "-S", "head=nope", fails=True)
    assert "hed" in project.dvc("exp", "run", "-S", "hed=linear", fails=True)
    refused = project.dvc("exp", "run", "-S", "head=linear", "-S", "head.window.seconds=9", fails=True)
    assert "window" in refused
    assert project.git("status", "--porcelain") == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("head_train.lr=fast", "head_train.lr: Input should be a valid number"),
        ("bank.dtype=fp64", "bank.dtype: Input should be 'fp16' or 'fp32' (found 'fp64')"),
        ("+head.windw=3", "head.windw: is no parameter"),
        ("baseline.bn_batch=3", "baseline.global_batch 16 is no multiple of baseline.bn_batch 3"),
    ],
)
def test_what_only_a_stage_would_refuse_is_refused_before_an_out_is_touched(
    project: Project, override: str, message: str
) -> None:
    before, bank = project.git("status", "--porcelain"), project.tree("data/playground_mini/bank")
    wrong = project.dvc("exp", "run", "-S", override, fails=True)
    assert message in wrong
    assert ran(wrong) == []
    assert "Traceback" not in wrong
    assert project.git("status", "--porcelain") == before
    assert project.tree("data/playground_mini/bank") == bank


@pytest.mark.slow
def test_an_edit_of_params_is_not_replaced_without_a_word(project: Project) -> None:
    project.dvc("exp", "run", "-S", "head_train.lr=0.2", "-n", "kept")
    project.dvc("exp", "run", "-S", "head_train.lr=1e30", fails=True)  # leaves its values there
    quiet = project.dvc("exp", "run", "-S", "head=linear")
    assert "is replaced" not in quiet
    path = project.folder / "params.yaml"
    path.write_text(path.read_text().replace("  feature_dropout: 0.3", "  feature_dropout: 0.2"))
    told = project.dvc("exp", "run", "-S", "head=lfb_avg")
    assert (
        "params.yaml: what was edited there and not committed is replaced: head_train.feature_dropout: 0.2, conf/ says "
        "0.3; give it with -S, or write it into conf/\n"
    ) in told


def test_a_number_stands_once_among_the_metrics(finished: Project) -> None:
    shown = json.loads(finished.dvc("metrics", "show", "--json"))[""]["data"]
    assert list(shown) == ["results/metrics.json"]
    names = list(shown["results/metrics.json"]["data"])
    assert names == ["dataset", "head", "mAP", "mAP_30", "mAP_75", "mAP_ground_truth", "mAP_of", "scope"]


def test_whole_detector_trains_with_a_head(project: Project) -> None:
    changes = ["-S", "head=lfb_max", "-S", "scope=all", "-S", "head.window.seconds=9"]
    assert ran(project.dvc("exp", "run", *changes)) == HEAD_STAGES
    assert project.metrics()["scope"] == "all"
    first = project.tree("results/detections")
    project.run("python", "-m", "stages.evaluate")
    assert project.tree("results/detections") == first, "two evaluations of one checkpoint are the same"


def test_tables_for_plots_have_a_row_per_class_and_epoch(finished: Project) -> None:
    with (finished.folder / "results/evaluate/per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} >= {"momentary", "relational", "long-term", "order"}
    with (finished.folder / "results/baseline/epochs.tsv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file, delimiter="\t")] == ["1"]
    with (finished.folder / "results/head/validation.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0])[:2] == ["epoch", "map"]
    assert [row["epoch"] for row in rows] == ["2"], "only epochs that were validated"
    assert float(rows[0]["map"]) == finished.metrics()["ground_truth"]["map"]


def test_an_edit_of_conf_is_not_passed_over(project: Project) -> None:
    file = project.folder / "conf/head/lfb_avg.yaml"
    file.write_text(file.read_text().replace("span: centred", "span: past"))
    refused = project.dvc("repro", fails=True)
    assert "params.yaml is not what conf/ says: head.window.span: 'centred', conf/ says 'past'" in refused
    assert ran(refused) == ["check_params"]
    project.run("actionbank", "compose")
    assert ran(project.dvc("repro")) == ["check_params", *HEAD_STAGES]
    # An experiment composes by itself, and what it set is no fault of the work tree.
    file.write_text(file.read_text().replace("span: past", "span: centred"))
    assert ran(project.dvc("exp", "run", "-S", "evaluation.iou=0.4")) == ["check_params", "evaluate"]
    assert "up to date" in project.dvc("repro")
    assert "up to date" in project.dvc("status", "dvc.yaml")

"""What a researcher does with the pipeline: reproduce, change one word, compare."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.harness import README, Project, new_project, readme_commands

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
    rows = {line.split("[")[1].split("]")[0]: line.split() for line in table.splitlines() if "[" in line}
    assert {*rows} >= {"nl", "linear"}
    assert {"playground_mini", "lfb_nl"} <= set(rows["nl"])

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
    """README's commands as typed; `finished` has run the first two."""
    before = project.metrics()
    *_, experiment, compare = readme_commands("Change one word", 0)
    assert ran(project.run("sh", "-c", f"{experiment} -n nl")) == HEAD_STAGES
    after = project.metrics()
    assert after["head"] == "lfb_nl"
    assert after["map"] != before["map"]
    lines = project.run("sh", "-c", compare).splitlines()[1:]
    changed = {line.split()[1]: line.split()[2:] for line in lines}
    assert changed["head"] == ["lfb_avg", "lfb_nl", "-"]
    assert len([float(each) for each in changed["mAP"]]) == 3
    check_linear_head(project)

    check_table_of_experiments(project)
    told = project.dvc("params", "diff", "nl", "linear")
    assert "head.name" in told
    assert "head.window.seconds" in told
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


def test_what_is_wrong_is_refused_before_an_out_is_touched(project: Project) -> None:
    """By what DVC composes, and by what checks the result; tests/project/test_compose.py has every message."""
    before, bank = project.git("status", "--porcelain"), project.tree("data/playground_mini/bank")
    for override, message in (
        ("head=nope", "lfb_avg"),
        ("baseline.bn_batch=3", "baseline.global_batch 16 is no multiple of baseline.bn_batch 3"),
    ):
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


@pytest.mark.slow
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
    file = project.folder / "conf/config.yaml"
    file.write_text(file.read_text().replace("  cap: 50\n", "  cap: 49\n"))
    refused = project.dvc("repro", fails=True)
    assert "params.yaml is not what conf/ says: evaluation.cap: 50, conf/ says 49" in refused
    assert ran(refused) == ["check_params"]
    project.run("actionbank", "compose")
    assert ran(project.dvc("repro")) == ["check_params", "evaluate"]
    # An experiment composes by itself, and what it set is no fault of the work tree.
    file.write_text(file.read_text().replace("  cap: 49\n", "  cap: 50\n"))
    assert ran(project.dvc("exp", "run", "-S", "evaluation.iou=0.4")) == ["check_params", "evaluate"]
    assert "up to date" in project.dvc("repro")

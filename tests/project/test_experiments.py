"""What a researcher does with the pipeline: reproduce, change one word, compare."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.project.harness import Project, new_project

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
    assert "up to date" in finished.dvc("status")
    assert finished.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_two_machines_make_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    other = new_project(tmp_path / "deeper" / "elsewhere")
    other.dvc("repro")
    assert other.outs() == finished.outs()
    assert other.tree("results") == finished.tree("results")


def test_changing_one_word_reruns_the_head_and_moves_the_metric(project: Project) -> None:
    before = project.metrics()
    assert ran(project.dvc("exp", "run", "-S", "head=lfb_nl", "-n", "nl")) == HEAD_STAGES
    after = project.metrics()
    assert after["head"] == "lfb_nl"
    assert after["map"] != before["map"]
    assert (
        ran(project.dvc("exp", "run", "-S", "head=lfb_nl", "-S", "head.window.seconds=9", "-n", "short")) == HEAD_STAGES
    )

    shown = json.loads(project.dvc("exp", "show", "--json"))
    names = {each["name"] for experiment in shown for each in (experiment.get("experiments") or [])}
    assert names == {"nl", "short"}
    assert "map" in project.dvc("metrics", "diff", "HEAD", "nl")
    assert "head.name" in project.dvc("params", "diff", "HEAD", "nl")
    assert "head.window.seconds" in project.dvc("params", "diff", "nl", "short")
    project.dvc("plots", "diff", "HEAD", "nl", "-o", "plots")
    page = (project.folder / "plots/index.html").read_text()
    for title in ("AP per class", "Precision and recall", "mAP by IoU", "Loss of the baseline", "Loss of the head"):
        assert title in page, f"no plot of {title}"
    for revision in ("HEAD", "nl"):
        assert f'"{revision}"' in page, f"nothing of {revision} is plotted"

    compared = project.run("actionbank", "compare", "HEAD", "nl")
    assert "stand" in compared
    project.dvc("exp", "apply", "nl")
    assert "as conf/ says" in project.run("actionbank", "compose", "--check")


def test_a_linear_head_computes_no_bank_and_going_back_runs_nothing(project: Project) -> None:
    output = project.dvc("exp", "run", "-S", "head=linear", "-n", "linear")
    assert ran(output) == HEAD_STAGES
    assert project.metrics()["head"] == "linear"
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    assert params["bank"]["make"] == []
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    assert not [each["path"] for each in lock["train_head"]["deps"] if each["path"].endswith(".zarr")]
    again = project.dvc("exp", "run", "-S", "head=lfb_avg", "-n", "back")
    assert ran(again) == []


def test_a_typo_is_refused_before_anything_runs_and_names_the_choices(project: Project) -> None:
    before = project.git("status", "--porcelain")
    assert "lfb_avg" in project.dvc("exp", "run", "-S", "head=nope", fails=True)
    assert "hed" in project.dvc("exp", "run", "-S", "hed=linear", fails=True)
    refused = project.dvc("exp", "run", "-S", "head=linear", "-S", "head.window.seconds=9", fails=True)
    assert "window" in refused
    assert project.git("status", "--porcelain") == before
    wrong = project.dvc("exp", "run", "-S", "head_train.lr=fast", fails=True)
    assert "head_train.lr: Input should be a valid number" in wrong
    assert "Traceback" not in wrong


@pytest.mark.slow
def test_thresholds_rerun_only_what_uses_them(project: Project) -> None:
    assert ran(project.dvc("exp", "run", "-S", "evaluation.box_threshold=0.95")) == ["evaluate"]
    assert ran(project.dvc("exp", "run", "-S", "head_train.box_threshold=0.95")) == HEAD_STAGES


@pytest.mark.slow
def test_a_queued_sweep_runs_every_combination(project: Project) -> None:
    project.dvc("exp", "run", "--queue", "-S", "head=lfb_max,lfb_nl", "-S", "head_train.lr=0.1")
    project.dvc("exp", "run", "--run-all")
    shown = json.loads(project.dvc("exp", "show", "--json"))
    runs = [each["revs"][0]["data"] for experiment in shown for each in (experiment.get("experiments") or [])]
    found = {
        (
            each["params"]["params.yaml"]["data"]["head"]["name"],
            each["params"]["params.yaml"]["data"]["head_train"]["lr"],
        )
        for each in runs
    }
    assert found == {(head, lr) for head in ("lfb_max", "lfb_nl") for lr in (0.1,)}
    assert all(each["metrics"]["results/evaluate/metrics.json"]["data"]["map"] is not None for each in runs)


def test_whole_detector_trains_with_a_head(project: Project) -> None:
    assert ran(project.dvc("exp", "run", "-S", "head=lfb_max", "-S", "scope=all")) == HEAD_STAGES
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
    assert ran(project.dvc("exp", "run", "-S", "head_train.lr=0.2"))[:1] == ["check_params"]
    assert "up to date" in project.dvc("repro")
    assert "up to date" in project.dvc("status")

"""Every stage that several processes can share, run by two of them as a user runs it; tests/base has two fast ranks."""

import shutil

import pytest

from pipeline.base.files import read_json
from tests.end_to_end.harness import Project

TWO = {"ACTIONBANK_PROCESSES": "2"}
MADE = ("data/playground_mini/bank", "results/evaluate", "results/detections")
TRAININGS = {"train_baseline": "results/baseline", "train_head": "results/head"}


def processes(project: Project, stage: str) -> set[int]:
    return {read_json(path)["processes"] for path in (project.folder / ".work/runs" / stage).glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_two_processes_make_the_bytes_that_one_makes(project: Project, split: str) -> None:
    """Of val, with its one film, one of both has nothing to do."""
    before = {name: project.tree(name) for name in MADE}
    shutil.rmtree(project.folder / ".work/bank_parts")
    shutil.rmtree(project.folder / ".work/runs")
    printed = project.run("python", "-m", "stages.infer_bank", split, environment=TWO)
    assert printed.count("films") == 1
    project.run("python", "-m", "stages.evaluate", environment=TWO)
    assert {name: project.tree(name) for name in MADE} == before
    assert processes(project, "infer_bank") == processes(project, "evaluate") == {2}


@pytest.mark.slow
def test_two_processes_train_as_one_does(project: Project) -> None:
    project.run("actionbank", "compose", "baseline.bn_batch=8", "head_train.bn_batch=8")
    losses = []
    for environment in ({}, TWO):
        for stage in (["train_baseline"], ["infer_bank", "train"], ["infer_bank", "val"], ["train_head"]):
            project.run("python", "-m", f"stages.{stage[0]}", *stage[1:], environment=environment)
        losses.append([read_json(project.folder / folder / "metrics.json")["loss"] for folder in TRAININGS.values()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[1] != losses[0], "sums in another order"
    assert all(2 in processes(project, stage) for stage in TRAININGS)


@pytest.mark.slow
def test_processes_that_do_not_fit_are_refused_in_one_line(project: Project) -> None:
    printed = project.run("python", "-m", "stages.train_baseline", "--processes", "2", fails=True)
    assert printed == (
        "error: baseline.global_batch 16 in parts of baseline.bn_batch 16: 1 to a step, which 2 processes cannot "
        "share evenly; "
        "expected a number of processes that divides 1\n"
    )

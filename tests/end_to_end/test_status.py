"""`actionbank status` and `actionbank runs` in a project, before, during and after runs."""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

from pipeline.commands.status import span
from tests.end_to_end.harness import REPOSITORY, Project, new_project
from tests.end_to_end.test_resume import kill_when
from tests.pages import measured


def lines_of(project: Project) -> dict[str, str]:
    """The line of each stage, without its name; the last one is under `next`."""
    lines = project.run("actionbank", "status").splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines} | {"next": lines[-1]}


def processor_seconds(project: Project, *command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    project.run(*command, environment={})  # started anew
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_where_a_finished_project_stands(finished: Project) -> None:
    found = lines_of(finished)
    assert found["next"] == "nothing to run"
    assert found["dataset"] == "playground_mini, backbone slowonly_tiny, head lfb_avg, scope head, bank own"
    for stage in (
        "make_videos@playground_mini",
        "extract_frames",
        "train_baseline@baseline",
        "infer_bank@val",
        "evaluate",
    ):
        assert found[stage].startswith("ran "), stage
        assert found[stage].endswith(" done"), stage
    listed = finished.run("actionbank", "runs").splitlines()
    assert [line.split()[2] for line in listed if "infer_bank" in line] == ["infer_bank", "infer_bank"]
    records = {each["stage"]: each for each in json.loads(finished.run("actionbank", "runs", "--json"))}
    for stage in ("extract_frames", "import_boxes", "evaluate"):  # one number in both commands
        took = records[stage]["start_seconds"] + records[stage]["seconds"]
        assert f", took {span(took)} done" in found[stage]
        assert any(line.split()[2] == stage and f" {took:.1f} s " in line for line in listed)


def test_what_would_run_after_a_change_and_how_long(project: Project) -> None:
    page = (REPOSITORY / "docs/commands.md").read_text()
    shown = page[page.index("$ actionbank compose head=lfb_nl bank.seconds=annotated\n") :].partition("```")[0]
    compose, told = shown.split("$ actionbank status\n")
    command = compose.splitlines()[0].removeprefix("$ ").split()
    assert project.run(*command) == compose.split("\n", 1)[1]  # `python -m tests.pages docs/commands.md --write`
    assert measured(project.run("actionbank", "status")) == measured(told)
    project.run("actionbank", "compose", "baseline.lr=0.9")
    found = lines_of(project)
    assert found["import_boxes"].endswith(" done")
    assert found["train_baseline@baseline"].endswith(" changed: parameters baseline.lr")
    assert found["infer_bank@train"].endswith(" after train_baseline@baseline")
    assert found["train_head"].endswith(" after train_baseline@baseline, infer_bank@train, infer_bank@val")
    assert found["next"].startswith("dvc repro runs, as far as what is made anew differs: train_baseline@baseline (")
    assert "unknown" not in found["next"]
    shutil.rmtree(project.folder / "data/playground_mini/annotations")
    found = lines_of(project)
    assert found["import_annotations"].endswith(" changed: its out data/playground_mini/annotations (deleted)")
    assert found["import_boxes"].endswith(" after import_annotations")


@pytest.mark.slow
def test_runs_stay_when_a_stage_is_forced_and_a_killed_one_is_told(project: Project) -> None:
    def runs(stage: str) -> list[str]:
        records = json.loads(project.run("actionbank", "runs", "--json"))
        return [each["outcome"] for each in records if each["stage"] == stage]

    assert runs("train_head") == ["finished"]
    longer = ["dvc", "exp", "run", "-S", "head_train.schedule.epochs=200"]
    assert kill_when(project, "train_head/*", 2, *longer)
    deadline = time.monotonic() + 30
    while runs("train_head")[-1] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)  # DVC was killed; the stage's process ends a moment later
    assert runs("train_head") == ["finished", "killed"]
    found = project.run("actionbank", "status")
    assert "\ntrain_head was killed: epoch " in found
    assert " of 200, " in found
    project.run("dvc", "repro", "-f", "-s", "import_annotations")
    assert runs("import_annotations") == ["finished", "finished"]


@pytest.mark.slow
def test_a_fresh_clone_has_never_run(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    found = lines_of(project)
    assert found["extract_frames"] == "no run is recorded never run"
    assert found["next"].endswith(": for how long is unknown")
    (project.folder / "params.yaml").write_text("a: [")
    assert "params.yaml: not YAML: while parsing" in project.run("actionbank", "status", fails=True)
    outside = Project(tmp_path)
    assert outside.run("actionbank", "status", fails=True).startswith("error: you are not inside of a DVC repository")


@pytest.mark.slow
def test_a_status_costs_little_more_than_dvc_itself(finished: Project) -> None:
    python = sys.executable
    empty = processor_seconds(finished, python, "-c", "import pipeline.cli; pipeline.cli.build_app('status')")
    own, dvc = (processor_seconds(finished, each, "status") for each in ("actionbank", "dvc"))
    assert own <= empty + 1.5 * dvc, (own, empty, dvc)

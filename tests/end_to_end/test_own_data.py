"""docs/own-data.md, typed as it stands: mmaction2 #1292 and #2226, own data end to end."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from pipeline.cli import build_app
from tests.commands.test_new_dataset import write_mixed
from tests.end_to_end.harness import REPOSITORY, new_project

PAGE = (REPOSITORY / "docs/own-data.md").read_text()


def commands() -> list[list[str]]:
    """The commands of the page that a reader runs, in order, as words."""
    blocks = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_page_runs_all_that_it_shows() -> None:
    assert PAGE.count("```sh\n") == PAGE.count("<!-- run -->\n") == len(commands())
    known = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    for words in commands():
        assert words[0] in ("actionbank", "dvc")
        assert words[0] == "dvc" or words[1] in known
    assert [words[1] for words in commands()] == ["make-example", "new-dataset", "exp", "doctor", "errors"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_own_videos_end_to_end_as_the_page_says(tmp_path: Path) -> None:
    """mmaction2 #1292, #2226: "how do I train on my own data?"; films at four rates, CVAT files, no boxes."""
    project = new_project(tmp_path / "project")
    made, written, trained, examined, told = (project.run(*words) for words in commands())
    assert made.startswith("films: 4 films of 40 s at 15, 24, 25, 30 frames per second")
    (line,) = re.findall("^films/videos: Git does not ignore .*$", PAGE, re.MULTILINE)
    assert made.splitlines()[1] == written.splitlines()[2] == line
    project.run("sh", "-c", line.partition("; type: ")[2])
    assert written.splitlines()[1] == "conf/dataset/films.yaml: written: 4 films, 11 classes, boxes by motion"
    assert written.endswith("next: read the warnings; dvc exp run -S dataset=films runs with them\n")
    stages = re.findall("Running stage '(.*)'", trained)
    assert stages == re.findall("^Running stage '(.*)':$", PAGE, re.MULTILINE)
    for stage in ("data/films/frames", "data/films/annotations", "data/films/detected_boxes"):
        (line,) = re.findall(rf"^{stage}: .*$", PAGE, re.MULTILINE)
        assert f"{line}\n" in trained  # what a fresh run prints stands on the page
    (line,) = re.findall("^val: boxes cover .*$", PAGE, re.MULTILINE)
    assert f"{line}\n" in trained
    assert "0 errors" in examined
    assert 0.1 < project.metrics()["detected"]["map"] < project.metrics()["ground_truth"]["map"]
    assert told.startswith(f"results/detections/detected.parquet, split val: mAP {project.metrics()['map']:.4f} ")
    assert told.endswith("results/errors/index.html: the worst keyframes, 20 of them with a picture\n")
    assert len(list((project.folder / "results/errors/keyframes").glob("*.jpg"))) == 20
    project.run("actionbank", "compose", "--check", "baseline.schedule.epochs=20")
    again = project.dvc("repro")
    assert "Running stage" not in again
    (keep,) = re.findall(r"^\| keep the result \| `(.*?)`", PAGE, re.MULTILINE)
    project.run("sh", "-c", keep)
    project.run("actionbank", "compare", "HEAD")
    assert project.dvc("metrics", "diff") == ""
    done = subprocess.run(["git", "ls-files"], cwd=project.folder, check=True, capture_output=True, text=True)
    assert "conf/dataset/films.yaml" in done.stdout
    assert "films/annotations/hall.xml" in done.stdout
    assert "films/videos" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_own_videos_in_a_queue_and_in_a_temporary_folder(tmp_path: Path) -> None:
    """Films that are in neither Git nor DVC, of which a temporary folder has none."""
    project = new_project(tmp_path / "project")
    for words in commands()[:2]:
        project.run(*words)
    short = ["-S", "dataset=films", "-S", "baseline.schedule.epochs=1", "-S", "head_train.schedule.epochs=1"]
    project.dvc("exp", "run", "--queue", *short, "-n", "queued")
    project.dvc("exp", "run", "--run-all")
    project.dvc("exp", "run", "--temp", *short, "-S", "head=linear", "-n", "temporary")
    shown = json.loads(project.dvc("exp", "show", "--json"))
    states = {each["name"]: each["revs"][0]["data"] for one in shown for each in one.get("experiments") or []}
    assert set(states) == {"queued", "temporary"}
    for each in states.values():
        assert each["metrics"]["results/metrics.json"]["data"]["mAP"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_films_of_three_shapes_train_in_either_scope(tmp_path: Path) -> None:
    """With what `new-dataset` writes; annotations and boxes lie in one folder, and most boxes have low scores."""
    project = new_project(tmp_path / "project")
    write_mixed(project.folder / "ann", project.folder / "films")
    project.run("actionbank", "new-dataset", "mixed", "--videos", "films", "--annotations", "ann", "--boxes", "ann")
    short = ["-S", "dataset=mixed", "-S", "baseline.schedule.epochs=2", "-S", "head_train.schedule.epochs=4"]
    for scope in ("head", "all"):
        trained = project.dvc("exp", "run", *short, "-S", f"scope={scope}")
        assert ("Running stage 'train_baseline@baseline'" in trained) == (scope == "head")
        assert "Running stage 'train_head'" in trained
        metrics = project.metrics()
        assert metrics["counts"]["videos"] == 1
        assert metrics["detected"]["num_detections"] > 0
    # Uncut, films of each shape have batches of their own.
    uncut = project.dvc("exp", "run", *short, "-S", "baseline.augmentation.crop=none")
    assert "Running stage 'train_baseline@baseline'" in uncut
    assert project.metrics()["detected"]["num_detections"] > 0

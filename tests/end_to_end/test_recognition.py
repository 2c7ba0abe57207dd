"""The second pipeline beside the first, run with `dvc` as its page says."""

import re
import shlex
from pathlib import Path

import pytest

from pipeline.base.files import read_json
from pipeline.base.plain_yaml import read_yaml
from tests.end_to_end.harness import REPOSITORY, Project, new_project

STAGES = tuple(
    f"{stage}@gestures_mini"
    for stage in ("make_videos", "extract_frames", "import_labels", "train_recognizer", "evaluate_recognizer")
)
PAGE = (REPOSITORY / "docs/recognition.md").read_text()


def commands() -> list[list[str]]:
    """The commands of the page's first block, in order: repro, an experiment, a queued one, a published row, both."""
    block = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


@pytest.fixture(scope="module")
def recognized(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project on a clip of each class and split, after the page's first command; tests copy it."""
    project = new_project(tmp_path_factory.mktemp("recognized") / "project")
    config = project.folder / "conf/config.yaml"
    config.write_text(config.read_text().replace("recognition/dataset: none", "recognition/dataset: gestures_mini"))
    file = project.folder / "conf/recognition/dataset/gestures_mini.yaml"
    file.write_text(file.read_text().replace("per_class: 2", "per_class: 1"))
    project.run("actionbank", "compose")
    project.run(*commands()[0])
    project.commit("recognition")
    return project


def test_the_second_pipeline_runs_by_its_file_and_leaves_the_first_alone(recognized: Project) -> None:
    folder = recognized.folder
    assert commands()[-1] == ["dvc", "repro", "-P"]
    assert set(read_yaml(folder / "dvc.lock")["stages"]) == {"code"}, "of the first pipeline only the code is recorded"
    assert set(read_yaml(folder / "recognition/dvc.lock")["stages"]) == {*STAGES, "check_params@gestures_mini"}
    found = read_json(folder / "results/recognition/metrics.json")
    assert (found["head"], found["clips"], found["dataset"]) == ("trn_multiscale", 15, "gestures_mini")
    assert recognized.git("ls-files", "recognition", ".checked") == "recognition/dvc.lock\nrecognition/dvc.yaml\n"


@pytest.mark.slow
def test_experiments_of_the_second_pipeline(recognized: Project, tmp_path: Path) -> None:
    project = recognized.copy(tmp_path / "project")
    folder, (_, experiment, queued, published, _) = project.folder, commands()
    said = project.run(*experiment)
    assert all(f"'recognition/dvc.yaml:{stage}' didn't change" in said for stage in STAGES[:3])
    assert read_json(folder / "results/recognition/metrics.json")["head"] == "trn"
    assert read_yaml(folder / "params.yaml")["recognition"]["choices"]["head"] == "trn"
    said = project.run("actionbank", "compare", "HEAD", "workspace", "--track", "recognition")
    assert "accurate views of 15 clips" in said
    assert project.run("actionbank", "status", "--track", "recognition").endswith("nothing to run\n")

    said = project.run(*published, fails=True)
    assert "what this experiment on dataset sthv2 reads is not here, so nothing has run" in said
    project.run(*queued)
    said = project.dvc("repro", "--dry", fails=True)
    assert "Running stage 'check_params'" in said
    assert "recognition" not in said


@pytest.mark.slow
def test_wrong_parameters_stop_the_second_pipeline_before_any_other_stage(recognized: Project, tmp_path: Path) -> None:
    project = recognized.copy(tmp_path / "project")
    file = project.folder / "conf/recognition/backbone/resnet_tiny.yaml"
    file.write_text(file.read_text().replace("lr: 0.03", "lr: 0.02"))
    said = project.run(*commands()[0], fails=True)
    assert re.findall(r"Running stage '(.*)'", said) == ["recognition/dvc.yaml:check_params@gestures_mini"]
    assert "recognition.train.lr: 0.03, conf/ says 0.02" in said


@pytest.mark.slow
def test_a_clone_pulls_the_second_pipeline_where_the_first_was_never_run(recognized: Project, tmp_path: Path) -> None:
    project = recognized.copy(tmp_path / "project")
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.commit("a remote")
    project.dvc("push", "recognition/dvc.yaml")
    clone = project.clone(tmp_path / "clone")
    assert "Checkout failed" in clone.dvc("pull", fails=True)
    clone.dvc("pull", "recognition/dvc.yaml")
    said = clone.dvc("repro", "recognition/dvc.yaml")
    assert re.findall(r"Running stage '(.*)'", said) == ["code"]

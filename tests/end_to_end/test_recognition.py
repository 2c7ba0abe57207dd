"""The second pipeline beside the first, run with `dvc` as its page says."""

import re
import shlex
from pathlib import Path

import pytest

from pipeline.base.files import read_json
from pipeline.base.plain_yaml import read_yaml
from tests.end_to_end.harness import REPOSITORY, new_project

STAGES = ("make_videos@gestures_mini", "extract_frames", "import_labels", "train_recognizer", "evaluate_recognizer")
PAGE = (REPOSITORY / "docs/recognition.md").read_text()


def commands() -> list[list[str]]:
    """The commands of the page's first block, in order: repro, an experiment, a queued one, a published row, both."""
    block = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


@pytest.mark.slow
def test_the_second_pipeline_runs_by_its_file_and_leaves_the_first_alone(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    folder, (repro, experiment, queued, published, both) = project.folder, commands()
    assert both == ["dvc", "repro", "-P"]
    project.run(*repro)
    assert set(read_yaml(folder / "dvc.lock")["stages"]) == {"code"}, "of the first pipeline only the code is recorded"
    assert set(read_yaml(folder / "recognition/dvc.lock")["stages"]) == {*STAGES, "check_params"}
    found = read_json(folder / "results/recognition/metrics.json")
    assert (found["head"], found["clips"], found["dataset"]) == ("trn_multiscale", 30, "gestures_mini")
    project.commit("both")
    assert "recognition" not in project.git("status", "--porcelain")

    said = project.run(*experiment)
    assert all(f"'recognition/dvc.yaml:{stage}' didn't change" in said for stage in STAGES[:3])
    assert read_json(folder / "results/recognition/metrics.json")["head"] == "trn"
    assert read_yaml(folder / "params.yaml")["recognition"]["choices"]["head"] == "trn"
    said = project.run("actionbank", "compare", "HEAD", "workspace", "--track", "recognition")
    assert "accurate views of 30 clips" in said
    assert project.run("actionbank", "status", "--track", "recognition").endswith("nothing to run\n")

    said = project.run(*published, fails=True)
    assert "what this experiment on dataset sthv2 reads is not here, so nothing has run" in said
    project.run(*queued)
    said = project.dvc("repro", "--dry", fails=True)
    assert "Running stage 'check_params'" in said
    assert "recognition" not in said

"""Code as a dependency: what an edit runs, here, in a temporary folder, in a queue and in a clone."""

import compileall
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.end_to_end.harness import REPOSITORY, Project

HEAD_STAGES = ["train_head", "evaluate"]
REPORT = "pipeline/evaluation/report.py"
BANK = "data/playground_mini/bank"


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def edit(project: Project, path: str) -> None:
    file = project.folder / path
    file.write_text(f"{file.read_text()}# edited\n")


def test_an_edit_runs_code_and_the_stages_that_run_the_file(project: Project) -> None:
    before = project.outs()
    edit(project, REPORT)
    told = project.run("actionbank", "status")
    assert f" changed: code {REPORT}\n" in told
    assert re.search(r"differs: code \(unknown\), evaluate \([\w ]+\): ", told)
    assert ran(project.dvc("repro")) == ["code", "evaluate"]
    after = project.outs()
    assert {path for path in after if after[path] != before[path]} == {".code"}
    project.git("checkout", "-q", REPORT)
    assert ran(project.dvc("repro")) == [], "what was made before comes out of the cache"
    assert project.outs() == before
    (project.folder / "pipeline/doctor/added.py").write_text('"""Nothing imports it yet."""\n')
    assert ran(project.dvc("repro")) == ["code"]
    assert project.outs() == before


def test_what_python_and_killed_processes_leave_beside_the_code_is_no_edit(project: Project) -> None:
    assert compileall.compile_dir(project.folder / "pipeline", quiet=1)
    (project.folder / "pipeline/empty").mkdir()
    (project.folder / "stages/.code.1-00000000.partial").write_text("half")
    assert "up to date" in project.dvc("status", "dvc.yaml")


@pytest.mark.slow
def test_a_single_stage_looks_at_its_file_as_it_lies_there(project: Project) -> None:
    edit(project, REPORT)
    assert ran(project.dvc("repro", "-s", "evaluate")) == []
    assert ran(project.dvc("repro", "-s", "code", "evaluate")) == ["code", "evaluate"]
    edit(project, "pipeline/models/heads/lfb_nl.py")
    assert ran(project.dvc("repro", "train_head")) == ["code", "train_head"]


@pytest.mark.slow
def test_a_stage_that_is_run_by_hand_stores_nothing_under_an_old_key(project: Project) -> None:
    """What lies in .code/ is of the code before the edit."""

    def items() -> set[str]:
        return {path.name for path in (project.folder / ".work/bank_parts").iterdir()}

    bank, before, notes = project.tree(f"{BANK}/val.zarr"), items(), project.tree(".code")
    project.run("python", "-m", "stages.infer_bank", "val")
    assert items() == before
    edit(project, "pipeline/bank/writer.py")
    project.run("python", "-m", "stages.infer_bank", "val")
    assert len(items() - before) == 1
    assert (project.tree(f"{BANK}/val.zarr"), project.tree(".code")) == (bank, notes)


@pytest.mark.slow
def test_in_a_temporary_folder_and_in_a_queue_code_runs_where_it_was_edited(project: Project) -> None:
    assert ran(project.dvc("exp", "run", "--temp", "-S", "head=linear")) == HEAD_STAGES
    edit(project, REPORT)
    assert ran(project.dvc("exp", "run", "--temp", "-S", "head=lfb_max")) == ["code", *HEAD_STAGES]
    project.dvc("exp", "run", "--queue", "-S", "head=lfb_nl", "-n", "queued")
    project.dvc("exp", "run", "--run-all")
    assert project.dvc("exp", "show", "--csv").count("queued,") == 1
    logs = project.dvc("queue", "logs", "queued")
    assert "Stage 'code' is cached" in logs, "the run before made the same"
    assert ran(logs) == HEAD_STAGES


@pytest.mark.slow
def test_a_clone_without_a_cache_runs_code_and_finds_the_same(project: Project, tmp_path: Path) -> None:
    project.dvc("remote", "add", "-d", "shared", str(tmp_path / "remote"))
    project.commit("a remote")
    project.dvc("push")
    readme = (REPOSITORY / "README.md").read_text().replace("data/playground/", "data/playground_mini/")
    (pull,) = re.findall(r"^dvc (pull .* \.code)$", readme, re.MULTILINE)
    clone = project.clone(tmp_path / "clone")
    clone.dvc(*shlex.split(pull)[:-1])
    head = ("exp", "run", "--allow-missing", "-S", "head=lfb_nl", *HEAD_STAGES)
    assert f"No such file or directory: '{clone.folder}/.code/train_head.json'" in clone.dvc(*head, fails=True)
    assert ran(clone.dvc("repro", "code")) == ["code"]
    assert clone.tree(".code") == project.tree(".code")
    assert ran(clone.dvc(*head)) == HEAD_STAGES

    other = project.clone(tmp_path / "other")
    other.dvc(*shlex.split(pull))
    assert other.tree(".code") == project.tree(".code")
    edit(other, "pipeline/base/files.py")  # as where a library is another one: it is the code of every stage
    assert ran(other.dvc("exp", "run", "-s", "-S", "head=lfb_nl", *HEAD_STAGES)) == HEAD_STAGES
    assert other.metrics()["map"] == clone.metrics()["map"]


@pytest.mark.slow
def test_code_takes_less_than_a_second(finished: Project) -> None:
    """Of processor time, beside what Python and typer take to begin."""
    program = "import time; from stages.code import code_texts; a = time.process_time(); code_texts(); "
    taken = finished.run(sys.executable, "-c", f"{program}print(time.process_time() - a)")
    assert float(taken) < 1

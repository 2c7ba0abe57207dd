"""Watching a training through DVC: it re-runs nothing, changes no byte, and survives a kill (docs/watching.md)."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline.project.compose import compose_params
from tests.end_to_end.harness import REPOSITORY, Project
from tests.end_to_end.test_resume import kill_when

PAGE = (REPOSITORY / "docs/watching.md").read_text()


def points(folder: Path, tag: str) -> list[int]:
    """The steps at which a log shows a number."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [each.step for each in events.Scalars(tag)]


def test_what_the_page_sets_are_parameters() -> None:
    overrides = re.findall(r"-S (\S+)", PAGE)
    assert len(overrides) == 4
    values = compose_params(overrides, REPOSITORY / "conf")
    assert values["training"] == {"log": "tensorboard"}
    for name in re.findall(r"^\| `(early_stop\.\w+)`", PAGE, re.MULTILINE):
        block, key = name.split(".")
        assert key in values["baseline"][block]
    assert set(re.findall(r"^\| `(\w+)` \| (?:nowhere|`logs|the store)", PAGE, re.MULTILINE)) == {
        "none", "tensorboard", "mlflow",
    }  # fmt: skip


def test_a_log_re_runs_nothing_and_lies_where_git_and_dvc_do_not_look(project: Project) -> None:
    project.run("actionbank", "compose", "training.log=tensorboard")
    (project.folder / "logs/tensorboard").mkdir(parents=True)
    (project.folder / "logs/tensorboard/events").write_text("of a training")
    assert "Running stage" not in project.dvc("repro")
    assert [line.split()[-1] for line in project.git("status", "--porcelain").splitlines()] == ["params.yaml"]


@pytest.mark.slow
def test_a_killed_training_goes_on_in_its_own_log_and_its_bytes_are_the_same(project: Project) -> None:
    change = ["-S", "head_train.schedule.epochs=20", "-S", "head_train.validation.interval=1"]
    log = ["-S", "training.log=tensorboard"]
    assert kill_when(project, "train_head/*", 3, "dvc", "exp", "run", "--temp", *change, *log)
    assert list(project.folder.glob(".work/train_head/*/epoch_*"))
    printed = project.dvc("exp", "run", *change, *log)
    epochs = [int(each) for each in re.findall(r"^train head: epoch (\d+)/20, loss .* s(?: left)?$", printed, re.M)]
    assert epochs == list(range(epochs[0], 21))
    assert epochs[0] > 1
    (folder,) = (project.folder / "logs/tensorboard/train_head").iterdir()
    assert folder.name.startswith("lfb_avg_head-")
    assert len(list(folder.iterdir())) == 2, "a file for each start"
    steps = points(folder, "train/loss")
    assert steps == list(range(1, len(steps) + 1))
    each = len(steps) // 20
    assert points(folder, "val/map") == points(folder, "epoch") == list(range(each, 20 * each + 1, each))
    logged = project.outs(("train_head", "evaluate"))
    project.run("dvc", "exp", "run", *change, "-S", "training.log=none", "-f", "-s", "train_head")
    assert project.outs(("train_head",)) == {path: logged[path] for path in project.outs(("train_head",))}


@pytest.mark.slow
def test_a_training_that_stops_early_says_so_and_evaluates(project: Project) -> None:
    stop = ["head_train.early_stop.patience=1", "head_train.early_stop.min_delta=1", "head_train.validation.interval=1"]
    whole = ["-S", "head_train.schedule.epochs=20", "-S", "head_train.checkpoint.select=best"]
    printed = project.dvc("exp", "run", *whole, *[word for each in stop for word in ("-S", each)])
    line = (
        r"^train head: stopped after epoch 2 of 20: the validation mAP has not risen by more than 1 for 1 validation, "
    )
    assert re.search(line, printed, re.MULTILINE)
    assert "lfb_avg, epoch " in printed
    rows = (project.folder / "results/head/epochs.tsv").read_text().splitlines()
    assert len(rows) == 3
    record = yaml.safe_load((project.folder / "models/head.json").read_text())["parameters"]
    assert record["early_stop"] == {"patience": 1, "min_delta": 1.0}
    assert project.metrics()["map"] is not None


@pytest.mark.slow
def test_what_is_not_installed_is_one_line(project: Project) -> None:
    (project.folder / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'mlflow' else find(name, package)\n"
    )
    printed = project.run(
        "dvc", "exp", "run", "-S", "training.log=mlflow", "-S", "head=lfb_max", fails=True,
        environment={"PYTHONPATH": str(project.folder)},
    )  # fmt: skip
    assert (  # DVC composes, and says whose error it is
        "InputError raised while resolving interpolation: training.log is mlflow, which is not installed; "
        "`./run uv pip install -e '.[mlflow]'` installs it (docs/watching.md)\n"
    ) in printed
    assert "Traceback" not in printed

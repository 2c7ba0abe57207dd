"""Logs of a training: TensorBoard's real event files, and MLflow's client, the real one where it is installed."""

import ast
import errno
import importlib.util
import itertools
import os
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.code_version import import_closure
from pipeline.base.errors import InputError
from pipeline.training import logs
from pipeline.training.batch import Batch
from pipeline.training.history import Metrics
from pipeline.training.logs import LogSettings, check_log, open_log
from pipeline.training.loop import fit
from pipeline.training.optimiser import parameter_groups
from pipeline.training.steps import Step, Task
from tests.training.settings import training_settings
from tests.training.test_loop import CPU, SETTINGS, Killed, steps

Points = dict[str, list[tuple[int, float]]]
FAKE = Path(__file__).parent / "fake_mlflow"
REPOSITORY = Path(__file__).resolve().parent.parent.parent
KINDS = ["tensorboard", "mlflow"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, without settings of whoever runs the tests, and with an MLflow."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in [each for each in os.environ if each.startswith("MLFLOW_")] + ["DVC_EXP_NAME"]:
        monkeypatch.delenv(name, raising=False)
    if importlib.util.find_spec("mlflow") is None:
        monkeypatch.syspath_prepend(str(FAKE))
    return tmp_path


def settings(kind: Any, key: str = "0123456789abcdef") -> LogSettings:
    return LogSettings(kind, "train_head", "lfb_nl", key, {"lr": 0.1, "schedule": {"epochs": 4}})


def read_tensorboard(project: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        str(project / "logs/tensorboard/train_head/lfb_nl-01234567"), size_guidance={"scalars": 0}
    )
    events.Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def mlflow_runs(project: Path) -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project}/logs/mlflow.db")
    experiment = client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", "actionbank"))
    return client, client.search_runs([experiment.experiment_id])


def read_mlflow(project: Path) -> Points:
    client, (run,) = mlflow_runs(project)
    found: Points = {}
    for key in ("train/loss", "train/lr", "epoch", "val/map", "val/relational_detected"):
        points = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, key)]
        found |= {key: sorted(points)} if points else {}
    return found


READ = {"tensorboard": read_tensorboard, "mlflow": read_mlflow}


def train(folder: Path, log: LogSettings | None, *, die_at: int | None = None, **changes: Any) -> nn.Module:
    """The training of `test_loop`, with three steps an epoch; killed before its step `die_at` (from 0)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 2))
    epochs = itertools.count(1)

    def steps_of(epoch: int) -> Iterator[Step[Batch]]:
        for number, step in enumerate(steps(epoch)):
            if die_at is not None and 3 * epoch + number >= die_at:
                raise Killed
            yield step

    def loss_of(batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.rows), batch.labels)

    def validate() -> Metrics:
        return {"map": next(epochs) / 10, "relational_detected": None, "order_detected": float("nan")}

    chosen = training_settings(**{**SETTINGS, "interval": 2, **changes})
    groups = parameter_groups(model, weight_decay=chosen.weight_decay, decayed=chosen.decay)
    task = Task("train", steps_of, 3, loss_of, validate)
    fit(model, task, chosen, groups=groups, device=CPU, state_folder=folder, log=log)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_rate_are_logged_by_step_and_validation_by_epoch(project: Path, kind: str) -> None:
    logged = train(project / "state", settings(kind))
    plain = train(project / "plain", None)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, logged.state_dict()[key]), "a log changes nothing"
    found = READ[kind](project)
    assert sorted(found) == ["epoch", "train/loss", "train/lr", "val/map"], "None and what is no number is left out"
    assert [step for step, _ in found["train/loss"]] == list(range(1, 13))
    rates = [training_settings(**SETTINGS).rate(epoch, step, 3) for epoch in range(4) for step in range(3)]
    assert [value for _, value in found["train/lr"]] == pytest.approx(rates)
    assert found["epoch"] == [(3, 1), (6, 2), (9, 3), (12, 4)]
    assert [step for step, _ in found["val/map"]] == [6, 12]
    assert [value for _, value in found["val/map"]] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed", [[1], [5], [6], [8], [2, 7, 7]])
def test_a_resumed_run_goes_on_at_the_right_step_without_doubled_points(
    project: Path, kind: str, killed: list[int]
) -> None:
    train(project / "whole", settings(kind, "f" * 16))
    for die_at in killed:
        with pytest.raises(Killed):
            train(project / "state", settings(kind), die_at=die_at)
    train(project / "state", settings(kind))
    if kind == "tensorboard":
        found = read_tensorboard(project)
    else:
        client, runs = mlflow_runs(project)
        assert len(runs) == 2, "the run of the killed training was taken up"
        mine = next(run for run in runs if run.data.tags["actionbank.key"] == settings(kind).key)
        assert mine.info.status == "FINISHED"
        keys = ("train/loss", "train/lr", "epoch")
        found = {
            key: [(each.step, each.value) for each in client.get_metric_history(mine.info.run_id, key)] for key in keys
        }
    assert [step for step, _ in found["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in found["train/lr"]] == list(range(1, 13))
    assert found["epoch"] == [(3, 1), (6, 2), (9, 3), (12, 4)]


def test_a_state_that_was_lost_is_logged_anew(project: Path) -> None:
    """What the readers show is the last training, from its first step on."""
    train(project / "state", settings("tensorboard"), lr=0.2)
    time.sleep(1.1)  # the reader sorts files by the second they began in
    train(project / "again", settings("tensorboard"))
    found = read_tensorboard(project)
    assert [step for step, _ in found["train/lr"]] == list(range(1, 13))
    assert found["train/lr"][2][1] == pytest.approx(0.1)


def test_a_finished_mlflow_run_stays_and_another_one_begins(project: Path) -> None:
    for folder in ("state", "again"):
        train(project / folder, settings("mlflow"))
    client, runs = mlflow_runs(project)
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert [len(client.get_metric_history(run.info.run_id, "train/loss")) for run in runs] == [12, 12]


def test_mlflow_is_told_parameters_and_experiment_and_asked_where(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/elsewhere.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "heads")
    monkeypatch.setenv("DVC_EXP_NAME", "late-owl")
    with pytest.raises(Killed):
        train(project / "state", settings("mlflow"), die_at=4)
    _, (run,) = mlflow_runs(project)
    assert run.info.run_name == "train_head lfb_nl-01234567"
    assert run.info.status == "FAILED"
    assert run.data.params == {
        "stage": "train_head", "name": "lfb_nl", "experiment": "late-owl", "lr": "0.1", "schedule.epochs": "4",
    }  # fmt: skip
    assert not (project / "logs").exists()


def test_tensorboard_shows_the_parameters_once(project: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Killed):
        train(project / "state", settings("tensorboard"), die_at=4)
    train(project / "state", settings("tensorboard"))
    events = EventAccumulator(str(project / "logs/tensorboard/train_head/lfb_nl-01234567"))
    events.Reload()
    (text,) = events.Tensors("parameters/text_summary")
    assert text.tensor_proto.string_val[0].decode().split("\n") == [
        "    stage: train_head", "    name: lfb_nl", "    lr: 0.1", "    schedule.epochs: 4",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_another_rank_writes_no_log(project: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("pipeline.training.watch.is_main", lambda: False)
    train(project / "state", settings(kind))
    assert not (project / "logs").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_installed_is_said_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        check_log(kind)
    assert str(error.value) == (
        f"training.log is {kind}, which is not installed; `./run uv pip install -e '.[{kind}]'` installs it "
        "(docs/watching.md)"
    )
    check_log("none")


def test_every_kind_is_an_extra_of_the_project() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(KINDS) <= set(extras["optional-dependencies"])


def test_a_log_that_cannot_be_begun_ends_the_run_before_its_first_step(project: Path) -> None:
    (project / "logs").write_text("a file")
    with pytest.raises(InputError, match=r"^training\.log tensorboard: cannot be written: .*logs/tensorboard"):
        train(project / "state", settings("tensorboard"))
    assert not (project / "state").exists()


class Refusing:
    """Stands before a part of a log, and fails while `broken`."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.broken = inner, True

    def __getattr__(self, name: str) -> Any:
        return self.fail if self.broken else getattr(self.inner, name)

    def fail(self, *_: Any, **__: Any) -> None:
        raise OSError("the store\nis away")


def test_a_store_that_goes_away_loses_no_point_if_it_comes_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(settings("mlflow"), 0)
    assert isinstance(log, logs.MlflowLog)
    store = Refusing(log._client)
    log._client = store
    for step in range(1, 1500):
        log.add({"train/loss": step, "train/lr": 0.1}, step)
    log.flush()
    log.flush()
    assert capsys.readouterr().err == (
        "training.log mlflow: the store is away; the training goes on, and its points are kept until the store takes "
        "them\n"
    )
    store.broken = False
    log.close(failed=False)
    assert [step for step, _ in read_mlflow(project)["train/loss"]] == list(range(1, 1500))
    assert capsys.readouterr().err == ""


def test_points_whose_answer_was_lost_are_not_sent_twice(project: Path) -> None:
    log = open_log(settings("mlflow"), 0)
    assert isinstance(log, logs.MlflowLog)
    send, answers = log._client.log_batch, iter([False, True])

    def log_batch(*values: Any, **named: Any) -> None:
        send(*values, **named)
        if not next(answers):
            raise TimeoutError("no answer")

    log._client.log_batch = log_batch
    for step in (1, 2):
        log.add({"train/loss": 1.0}, step)
        log.flush()
    log.close(failed=False)
    assert [step for step, _ in read_mlflow(project)["train/loss"]] == [1, 2]


def test_a_store_that_stays_away_is_said_at_the_end(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(settings("mlflow"), 0)
    assert isinstance(log, logs.MlflowLog)
    log._client = Refusing(log._client)
    log.add({"train/loss": 1.0, "train/lr": 0.1}, 1)
    log.close(failed=False)
    assert capsys.readouterr().err.splitlines()[1:] == ["training.log mlflow: 2 points are lost"]
    log._pending = []
    log.close(failed=False)
    assert capsys.readouterr().err == "training.log mlflow: the store is away; the run stays open there\n"


def test_event_files_that_cannot_be_written_any_more_do_not_end_the_training(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    monkeypatch.setattr(threading, "excepthook", lambda fault: print("a traceback", file=sys.stderr))
    log = open_log(settings("tensorboard"), 0)

    def full(self: RecordWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(1, 100):
        log.add({"train/loss": 1.0}, step)
        log.flush()
    log.close(failed=False)
    assert capsys.readouterr().err == (
        "training.log tensorboard: [Errno 28] No space left on device; the training goes on without it\n"
    )
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == "a traceback\n", "of other threads"


def test_no_module_of_a_log_is_imported_without_one() -> None:
    closure = [REPOSITORY / path for path in import_closure("stages.train_head")]
    at_once = [node for path in closure for node in ast.parse(path.read_text()).body]
    names = {alias.name.split(".")[0] for node in at_once if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module).split(".")[0] for node in at_once if isinstance(node, ast.ImportFrom)}
    assert "torch" in names
    assert not {"tensorboard", "mlflow"} & names
    assert not [path for path in closure if "torch.utils.tensorboard" in path.read_text() and path.name != "logs.py"]

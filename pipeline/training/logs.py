"""Log a training to TensorBoard or MLflow while it runs (docs/watching.md); rank 0 writes.

A log is only for watching: git and DVC do not keep it, and no out depends on it. If it can no longer be written, the
training prints that once and goes on.
"""

import importlib.util
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pipeline.base.errors import InputError, how_to_install
from pipeline.base.work import work_root

Kind = Literal["none", "tensorboard", "mlflow"]
KEY_TAG = "actionbank.key"
FLUSH_SECONDS = 10
MOST_IN_BATCH = 900  # MLflow accepts 1000 points at once


@dataclass(frozen=True)
class LogSettings:
    """Which training to log, and where."""

    kind: Kind
    stage: str
    name: str  # for people, such as the name of the head
    key: str  # of the training (`item_key`): a resumed training continues the log of the killed one
    parameters: Mapping[str, Any]

    @property
    def run_name(self) -> str:
        """A name that is unique for a training."""
        return f"{self.name}-{self.key[:8]}"


class Log(Protocol):
    """A target for points. `add` and `flush` raise nothing; `close` ends the log, and `failed` marks it as failed."""

    def add(self, values: Mapping[str, Any], step: int) -> None:
        """Add these numbers at `step`; None and values that are not finite are left out."""

    def flush(self) -> None:
        """Write the added points."""

    def close(self, *, failed: bool) -> None:
        """Write the remaining points and end the log."""


def check_log(kind: Kind) -> None:
    """Check that the package that writes this kind of log is installed.

    Raises:
        InputError: it is not installed; the message gives the command that installs it.
    """
    if kind != "none" and importlib.util.find_spec(kind) is None:
        raise InputError(f"training.log is {kind}, which is not installed; {how_to_install(kind)} (docs/watching.md)")


def open_log(settings: LogSettings, done: int) -> Log:
    """Open the log of a training.

    Args:
        settings: see `LogSettings`; the kind is not none.
        done: steps that earlier runs have finished; later points of those runs are replaced by this run's points.

    Raises:
        InputError: the log cannot be written.
    """
    check_log(settings.kind)
    try:
        return TensorBoardLog(settings, done) if settings.kind == "tensorboard" else MlflowLog(settings)
    except Exception as error:  # these packages and their servers may raise anything
        raise InputError(f"training.log {settings.kind}: cannot be written: {_one_line(error)}") from None


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


class TensorBoardLog:
    """Event files in `logs/tensorboard/<stage>/<name>-<key>/`."""

    def __init__(self, settings: LogSettings, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        _quieten_writer()
        folder = work_root().parent / "logs" / "tensorboard" / settings.stage / settings.run_name
        # Readers then ignore what an earlier run wrote from this step on.
        self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else 0, flush_secs=FLUSH_SECONDS)
        self._broken = False
        if not done:
            text = "\n".join(f"    {key}: {value}" for key, value in _described(settings).items())
            self._writer.add_text("parameters", text, 0)
        self._writer.flush()

    def add(self, values: Mapping[str, Any], step: int) -> None:
        """See `Log`."""
        for key, value in _numbers(values).items():
            self._try(self._writer.add_scalar, key, value, step)

    def flush(self) -> None:
        """See `Log`."""
        self._try(self._writer.flush)

    def close(self, *, failed: bool) -> None:
        """See `Log`."""
        self._try(self._writer.close)

    def _try(self, write: Any, *values: Any) -> None:
        if self._broken:
            return
        try:
            write(*values)
        except Exception as error:  # a full disk or a removed folder
            self._broken = True
            print(f"training.log tensorboard: {_one_line(error)}; the training goes on without it", file=sys.stderr)


def _quieten_writer() -> None:
    """Suppress the traceback of TensorBoard's writing thread; `add` and `flush` raise its error anyway."""
    before = threading.excepthook

    def hook(fault: threading.ExceptHookArgs) -> None:
        if type(fault.thread).__name__ != "_AsyncWriterThread":
            before(fault)

    threading.excepthook = hook


class MlflowLog:
    """A run in the store that MLFLOW_TRACKING_URI names, or else in `logs/mlflow.db`."""

    def __init__(self, settings: LogSettings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            folder = work_root().parent / "logs"
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "mlflow").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        self._pending: list[tuple[str, float, int, int]] = []
        self._written, self._stuck = time.monotonic(), False
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "actionbank"
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)
        self._last: dict[str, int] = {}
        self._run, self._resumed = self._find_run(settings, number)

    def _find_run(self, settings: LogSettings, experiment: str) -> tuple[str, bool]:
        """Find the unfinished run of this training, or create one; return its id and whether it is a resumed one."""
        found = self._client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{settings.key}'")
        open_runs = [run.info.run_id for run in found if run.info.status != "FINISHED"]
        if open_runs:
            self._client.update_run(open_runs[0], status="RUNNING")
            return open_runs[0], True
        from mlflow.entities import Param

        tags = {KEY_TAG: settings.key, "actionbank.stage": settings.stage}
        run = self._client.create_run(experiment, run_name=f"{settings.stage} {settings.run_name}", tags=tags)
        params = [Param(key, str(value)[:500]) for key, value in _described(settings).items()]
        for first in range(0, len(params), 100):  # MLflow accepts 100 at once
            self._client.log_batch(run.info.run_id, params=params[first : first + 100])
        return run.info.run_id, False

    def add(self, values: Mapping[str, Any], step: int) -> None:
        """See `Log`."""
        now = int(time.time() * 1000)
        self._pending += [(key, value, now, step) for key, value in _numbers(values).items()]
        if not self._stuck and time.monotonic() - self._written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """See `Log`. If the store does not answer, it is tried again at the end of each epoch."""
        try:
            while self._pending:
                self._write(self._pending[:MOST_IN_BATCH])
                self._pending = self._pending[MOST_IN_BATCH:]
            self._stuck = False
        except Exception as error:  # the store's server or disk may raise anything
            if not self._stuck:
                print(
                    f"training.log mlflow: {_one_line(error)}; the training goes on, and its points are kept until "
                    "the store takes them",
                    file=sys.stderr,
                )
            self._stuck = True
            # The points may have arrived although no answer came back, so ask the store what it has.
            self._last, self._resumed = {}, True
        self._written = time.monotonic()

    def _write(self, points: list[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(*each) for each in points if each[3] > self._last_step(each[0])]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)
        self._last |= {key: max(step, self._last[key]) for key, _, _, step in points}

    def _last_step(self, key: str) -> int:
        """Return the last step at which the run has this number; MLflow would store a repeated point twice."""
        if key not in self._last:
            known = self._client.get_metric_history(self._run, key) if self._resumed else []
            self._last[key] = max((each.step for each in known), default=-1)
        return self._last[key]

    def close(self, *, failed: bool) -> None:
        """See `Log`."""
        self.flush()
        if self._pending:
            print(f"training.log mlflow: {len(self._pending)} points are lost", file=sys.stderr)
            return
        try:
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")
        except Exception as error:  # see `flush`
            print(f"training.log mlflow: {_one_line(error)}; the run stays open there", file=sys.stderr)


def _described(settings: LogSettings) -> dict[str, Any]:
    """Return the parameters of a training by dotted keys, and the name of its DVC experiment."""
    flat: dict[str, Any] = {"stage": settings.stage, "name": settings.name}
    if name := os.environ.get("DVC_EXP_NAME"):
        flat["experiment"] = name

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                add(f"{prefix}{key}.", value)
            else:
                flat[f"{prefix}{key}"] = value

    add("", settings.parameters)
    return flat

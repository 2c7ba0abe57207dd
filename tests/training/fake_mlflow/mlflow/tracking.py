import re
from types import SimpleNamespace
from typing import Any

from mlflow.entities import Metric

STORES: dict[str, dict[str, Any]] = {}


class MlflowClient:
    """As MLflow's: it takes a point twice, and 1000 of them at once at most."""

    def __init__(self, tracking_uri: str) -> None:
        self.store = STORES.setdefault(tracking_uri, {"experiments": {}, "runs": {}})

    def get_experiment_by_name(self, name: str) -> Any:
        return self.store["experiments"].get(name)

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        number = str(len(self.store["experiments"]) + 1)
        self.store["experiments"][name] = SimpleNamespace(experiment_id=number, artifact_location=artifact_location)
        return number

    def create_run(self, experiment_id: str, run_name: str | None = None, tags: dict[str, str] | None = None) -> Any:
        run_id = f"run{len(self.store['runs'])}"
        info = SimpleNamespace(run_id=run_id, status="RUNNING", experiment_id=experiment_id, run_name=run_name)
        data = SimpleNamespace(tags=dict(tags or {}), params={})
        self.store["runs"][run_id] = SimpleNamespace(info=info, data=data, history=[])
        return self.store["runs"][run_id]

    def get_run(self, run_id: str) -> Any:
        return self.store["runs"][run_id]

    def search_runs(self, experiment_ids: list[str], filter_string: str = "") -> list[Any]:
        wanted = re.fullmatch(r"tags\.`(.+)` = '(.+)'", filter_string)
        runs = [run for run in self.store["runs"].values() if run.info.experiment_id in experiment_ids]
        return [run for run in runs if not wanted or run.data.tags.get(wanted[1]) == wanted[2]]

    def update_run(self, run_id: str, status: str) -> None:
        self.store["runs"][run_id].info.status = status

    def set_terminated(self, run_id: str, status: str) -> None:
        self.update_run(run_id, status)

    def log_batch(self, run_id: str, metrics: list[Metric] = [], params: list[Any] = []) -> None:  # noqa: B006
        if len(metrics) > 1000 or len(params) > 100:
            raise ValueError("a batch of too many values")
        run = self.store["runs"][run_id]
        run.history += metrics
        run.data.params |= {each.key: each.value for each in params}

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return [each for each in self.store["runs"][run_id].history if each.key == key]

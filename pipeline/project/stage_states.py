"""The state of the pipeline: what is done, what would run next and for how long, and unfinished work in `.work`."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from pipeline.base.code_version import CODE, code_record
from pipeline.base.command import RECOGNITION
from pipeline.base.errors import InputError
from pipeline.base.files import json_text, read_json
from pipeline.base.plain_yaml import read_yaml
from pipeline.base.runs import list_runs, saved_epoch, seconds_taken, seconds_to_start
from pipeline.base.work import work_root

if TYPE_CHECKING:
    from dvc.dependency import Dependency
    from dvc.repo import Repo
    from dvc.stage import Stage

Record = dict[str, Any]
Track = Literal["detection", "recognition"]
BASELINE = "train_baseline"
"`dvc.yaml` has it at most once, as train_baseline@baseline."
TRAININGS = {BASELINE: "baseline", "train_head": "head_train", "train_recognizer": "train"}
"Stages that train, and the block of their pipeline's parameters that holds their number of epochs."
ITEMS = {
    "make_videos": "make_videos",
    "extract_frames": "extract_frames",
    "infer_bank": "bank_parts",
    "infer_memory": "bank_parts",
}
"Stages that keep finished films, and the folder in `.work` that holds them."
CODE_STAGE = "code"
SHOWN = 4


@dataclass(frozen=True)
class Standing:
    """The state of one stage."""

    name: str
    state: Literal["done", "changed", "never run", "after"]
    "after: nothing of its own has changed, but a stage that it depends on would run."
    causes: tuple[str, ...]
    "What has changed, or the stages that it waits for."
    finished: float | None
    "End of its last run here, in seconds since 1970; None if no run is recorded."
    took: float | None
    expected: float | None
    "Estimated seconds of its next run, from the recorded runs; None if no recorded run is similar."

    @property
    def would_run(self) -> bool:
        """Whether `dvc repro` would consider it."""
        return self.state != "done"


@dataclass(frozen=True)
class Unfinished:
    """What a run that ended early, or is still running, has finished so far."""

    stage: str
    outcome: str
    "running, killed or failed; empty if no run is recorded."
    progress: str
    "In words: epoch 7 of 20."
    written: float | None
    "When its last piece was finished, in seconds since 1970."
    left: float | None = None
    "Estimated seconds that a running run still takes."


@dataclass(frozen=True)
class Status:
    """The state of the whole pipeline."""

    choices: dict[str, str]
    stages: list[Standing]
    unfinished: list[Unfinished]


def read_status(track: Track = "detection") -> Status:
    """Read the state of the project in this folder, without a lock of DVC, so that no run is disturbed.

    Args:
        track: whose pipeline: dvc.yaml's, or recognition/dvc.yaml's.

    Raises:
        InputError: `params.yaml` is absent or not YAML.
        dvc.exceptions.DvcException: this is not a project, or `dvc.yaml` cannot be read.
    """
    from dvc.repo import Repo

    records = list_runs()
    with Repo() as repo:
        params = read_yaml(Path(repo.root_dir, "params.yaml"))
        params = dict(_block(params, "recognition")) if track == "recognition" else params
        stages = _standings(repo, params, records, track)
    return Status(_choices(params), stages, _unfinished(records))


def _choices(params: Mapping[str, Any]) -> dict[str, str]:
    chosen = _block(params, "choices")
    groups = ("dataset", "backbone", "head", "scope", "bank", "experiment")
    return {group: str(chosen[group]) for group in groups if chosen.get(group)}


def _block(params: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a block of the parameters; empty if it is missing (the stages report that)."""
    value: Any = params
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _is_of(stage: "Stage", track: Track) -> bool:
    """Return whether a stage is of a pipeline; files that `dvc add` keeps, and the stage `code`, are of both."""
    of_recognition = Path(stage.path) == Path(stage.repo.root_dir, RECOGNITION)
    return stage.is_data_source or stage.addressing == CODE_STAGE or of_recognition == (track == "recognition")


def _standings(repo: "Repo", params: Mapping[str, Any], records: Sequence[Record], track: Track) -> list[Standing]:
    """Return the state of each stage, after those that it depends on, else in the order of its file."""
    locked = _locked(repo)
    found: dict[str, Standing] = {}
    for stage in (each for each in _in_order(repo) if _is_of(each, track)):
        # `code` does not count: a stage runs after it only if its own code has changed, which is listed as a cause.
        before = [each.addressing for each in repo.index.graph.successors(stage) if each.addressing != CODE_STAGE]
        waits = tuple(name for name in before if name in found and found[name].would_run)
        code_runs = CODE_STAGE in found and found[CODE_STAGE].would_run
        causes = tuple(_changes(stage, params, waits=bool(waits), code_runs=code_runs))
        state: Literal["done", "changed", "never run", "after"] = "done"
        if stage.is_data_source or stage.addressing in locked:
            state = "changed" if causes else "after" if waits else "done"
        else:
            state = "never run"
        if stage.is_data_source and state == "done":
            continue
        shown = stage.addressing.removeprefix(f"{RECOGNITION}:")
        name = BASELINE if shown.startswith(f"{BASELINE}@") else shown
        mine = _runs_of(name, params, records)
        last = mine[-1] if mine else None
        found[stage.addressing] = Standing(
            shown,
            state,
            causes if state == "changed" else waits if state == "after" else (),
            last["started"] + last["seconds"] if last else None,
            seconds_taken(last) if last else None,
            None if state == "done" else expected_seconds(name, params, records),
        )
    return list(found.values())


def _in_order(repo: "Repo") -> list["Stage"]:
    waiting, order = list(repo.index.stages), list["Stage"]()
    while waiting:  # ends, because DVC refuses circles
        first = next(each for each in waiting if not set(repo.index.graph.successors(each)) & set(waiting))
        waiting.remove(first)
        order.append(first)
    return order


def _locked(repo: "Repo") -> set[str]:
    """Return the stages that have run, here or where `dvc.lock` comes from."""
    runs: dict[Path, Any] = {}
    names = set()
    for stage in repo.index.stages:
        if not stage.is_data_source:
            lock = Path(stage.path).with_name("dvc.lock")
            if lock not in runs:
                runs[lock] = _yaml(lock).get("stages", {}) if lock.exists() else {}
            names |= {stage.addressing} if stage.name in runs[lock] else set()
    return names


def _yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file with libyaml; DVC's own reader takes most of a second."""
    loaded = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded if isinstance(loaded, dict) else {}


def _changes(stage: "Stage", params: Mapping[str, Any], *, waits: bool, code_runs: bool) -> list[str]:
    """Describe the differences from the stage's last run, except inputs that an earlier stage will make again."""
    code, data, keys = [], [], []
    for dependency in [] if stage.frozen else stage.deps:  # for a frozen import DVC would ask another repository
        if Path(dependency.fs_path).parent == Path(stage.repo.root_dir, CODE):
            if code_runs or dependency.status():
                code += _changed_code(dependency, Path(stage.repo.root_dir))
            continue
        for name, change in dependency.status().items():
            if isinstance(change, dict):
                before = dependency.hash_info.value or {}
                for key in change:
                    keys += _differing(key, before.get(key), _at(params, key)) or [key]
            elif not (waits and change == "deleted"):
                data.append(name if change == "modified" else f"{name} ({change})")
    outs = [f"{name} ({change})" for out in stage.outs for name, change in out.status().items()]
    lines = []
    if keys:
        lines.append(f"parameters {_first(keys)}")
    if code:
        lines.append(f"code {_first(code)}")
    lines += [_first(data)] if data else []
    lines += [f"its out {_first(outs)}"] if outs else []
    if stage.changed_stage():
        lines.append("its command or lists in dvc.yaml")
    return lines


def _changed_code(dependency: "Dependency", root: Path) -> list[str]:
    """List the files and libraries of a stage that have changed since its last run, as `code` would record them now."""
    now, recorded = code_record(f"stages.{Path(dependency.fs_path).stem}", root=root), dependency.hash_info.value
    if recorded is None or recorded == hashlib.md5(json_text(now).encode()).hexdigest():
        return []
    try:
        before = read_json(Path(dependency.repo.cache.local.oid_to_path(recorded)))
    except (InputError, OSError):  # `dvc gc` has removed it
        return [str(dependency)]
    names = [each for block in ("files", "libraries") for each in _differing("", before[block], now[block])]
    return [*(each.removeprefix(".") for each in names), *(["Python"] if before["python"] != now["python"] else [])]


def _at(params: Mapping[str, Any], key: str) -> Any:
    *blocks, name = key.split(".")
    return _block(params, *blocks).get(name)


def _differing(key: str, before: Any, now: Any) -> list[str]:
    """List the dotted keys at which two values of a key differ; DVC itself names only the block that a stage lists."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = sorted({*before, *now}, key=str)
        return [each for name in names for each in _differing(f"{key}.{name}", before.get(name), now.get(name))]
    return [] if before == now else [key]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def variant_of(name: str, params: Mapping[str, Any]) -> str:
    """Return the variant under which a run of a stage of `dvc.yaml` is recorded; see `recorded_run`."""
    base, _, item = name.partition("@")
    if item:
        return item
    of_head = f"{_block(params, 'head').get('name')}_{_block(params, 'scope').get('name')}"
    backbone = str(_block(params, "backbone").get("name"))
    head = str(_block(params, "head").get("name"))
    variants = {"train_baseline": backbone, "train_head": of_head, "evaluate": of_head}
    return variants.get(base, head if base in ("train_recognizer", "evaluate_recognizer") else "")


def _runs_of(
    name: str, params: Mapping[str, Any], records: Sequence[Record], outcomes: Sequence[str] = ("finished",)
) -> list[Record]:
    """Return the runs of a stage with the same data set, split, backbone and head, oldest first."""
    dataset, variant = _block(params, "dataset").get("name"), variant_of(name, params)
    return [
        each
        for each in records
        if (each["stage"], each.get("dataset"), each.get("variant")) == (name.partition("@")[0], dataset, variant)
        and each["outcome"] in outcomes
    ]


def expected_seconds(name: str, params: Mapping[str, Any], records: Sequence[Record]) -> float | None:
    """Estimate how long the next run of a stage takes.

    For a training: the time per epoch of the last run, times the epochs that are left. For a stage of films: the time
    per film of the last run that made any, times all films. Else: the time of the last run.

    Args:
        name: as in `dvc.yaml`.
        params: the parameters.
        records: as `list_runs` returns them.

    Returns:
        Seconds; None if no run of this stage, data set, split, backbone and head is recorded.
    """
    mine = _runs_of(name, params, records)
    block = TRAININGS.get(name)
    if block is not None:
        mine = [each for each in mine if _trained(each) > 0 or "epochs" not in each]  # else handed on
        epochs = _block(params, block, "schedule").get("epochs")
        if not mine or not isinstance(epochs, int):
            return None
        last, saved = mine[-1], _saved(name, params, records, epochs)
        if "epochs" not in last:
            return seconds_taken(last)
        return seconds_to_start(last) + float(last["seconds"]) / _trained(last) * (epochs - saved)
    making = [each for each in mine if each.get("new") and each.get("items")]
    if making:
        last = making[-1]
        return seconds_to_start(last) + float(last["seconds"]) / float(last["new"]) * float(mine[-1]["items"])
    return seconds_taken(mine[-1]) if mine else None


def _trained(record: Record) -> int:
    """Count the epochs that a run trained itself, without those it resumed from."""
    return int(record.get("epochs", 0)) - int(record.get("saved_epochs", 0))


def _saved(name: str, params: Mapping[str, Any], records: Sequence[Record], epochs: int) -> int:
    """Count the epochs that the next training can resume from: those saved by its last run, if that ended early."""
    early = _runs_of(name, params, records, ("finished", "failed", "killed"))
    if not early or early[-1]["outcome"] == "finished" or early[-1].get("epochs") != epochs:
        return 0
    return saved_epoch(work_root() / name / str(early[-1].get("state")))


def _unfinished(records: Sequence[Record]) -> list[Unfinished]:
    found = []
    for stage in TRAININGS:
        for folder in sorted((work_root() / stage).glob("*/")):
            if epoch := saved_epoch(folder):
                record = next((each for each in reversed(records) if each.get("state") == folder.name), None)
                of = f" of {record['epochs']}" if record and "epochs" in record else ""
                written = max(path.stat().st_mtime for path in folder.glob("epoch_*"))
                outcome = record["outcome"] if record else ""
                found.append(Unfinished(stage, outcome, f"epoch {epoch}{of}", written, _left(record, epoch, written)))
    states = {each.stage for each in found}
    newest = {(str(each["stage"]), each.get("variant"), each.get("dataset")): each for each in records}
    for record in newest.values():
        stage = str(record["stage"])
        if record["outcome"] == "finished" or (stage in TRAININGS and stage in states):
            continue
        times = [path.stat().st_mtime for path in (work_root() / ITEMS.get(stage, stage)).glob("[!.]*/")]
        new = [each for each in times if each >= record["started"]] if stage in ITEMS else []
        of = f" of {record['items']}" if record.get("items") else ""
        if record["outcome"] == "running" or new:
            progress = f"{len(new)}{of} films made" if stage in ITEMS else ""
            found.append(Unfinished(stage, record["outcome"], progress, max(new, default=None)))
    return found


def _left(record: Record | None, epoch: int, written: float) -> float | None:
    """Estimate the seconds that a running training still takes, from its own epochs."""
    saved = int(record.get("saved_epochs", 0)) if record else 0
    if record is None or record["outcome"] != "running" or epoch <= saved or "epochs" not in record:
        return None
    each = (written - float(record["started"])) / (epoch - saved)
    return max(0.0, each * (int(record["epochs"]) - epoch) - (time.time() - written))

"""A detector with an asynchronous memory, through the stages: trained, killed, resumed, evaluated on its own memory."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json
from pipeline.checkpoint.weights import HEAD, load_tensors
from pipeline.project.compose import compose_params, params_text
from pipeline.training.memory import Memory
from stages import evaluate, infer_memory, train_head
from tests.stages.zoo import DATA, Zoo, new_zoo

MEMORY = DATA / "memory/val.zarr"
# A training that is killed in its third epoch, of two steps each.
DYING = """
import os, signal
from pipeline.training import memory_task
from stages.train_head import train_head

class Dying(memory_task.Memory):
    def after_step(self, loss):
        super().after_step(loss)
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

memory_task.Memory = Dying
train_head(workers=1, device="cpu")
"""
CHOICES = (
    *("backbone=slowonly_tiny", "backbone.width=8", "scope=all", "head.memory=asynchronous"),
    *("head=lfb_nl", "head.options.latent=8"),
    *("head.window.seconds=5", "head.window.per_second=2", "head_train.lr=0.01", "head_train.schedule.epochs=3"),
    *("head_train.init=kinetics", "head_train.kinetics=none"),
)


@pytest.fixture
def project(zoo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    return new_zoo(zoo_data, *CHOICES)


def stages_of(folder: Path, *overrides: str) -> dict[str, set[str]]:
    """The dependencies of every stage that DVC makes of `dvc.yaml`."""
    folder.mkdir()
    (folder / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    (folder / "params.yaml").write_text(params_text(compose_params([*overrides], REPOSITORY / "conf")))
    with Repo.init(str(folder), no_scm=True) as repo:
        return {each.name: {dependency.def_path for dependency in each.deps} for each in repo.index.stages}


def test_dvc_has_the_stage_where_the_memory_is_asynchronous(tmp_path: Path) -> None:
    usual = ("dataset=playground_mini", "head=lfb_nl", "scope=all")
    stages = stages_of(tmp_path / "bank", *usual)
    assert {"infer_bank@train", "infer_bank@val"} < stages.keys()
    assert not any(name.startswith("infer_memory") for name in stages)
    assert {str(DATA / "bank/val.zarr"), "conf/none/memory"} < stages["evaluate"]

    stages = stages_of(tmp_path / "memory", *usual, "head.memory=asynchronous", "head_train.init=kinetics")
    assert not any(name.startswith(("infer_bank", "train_baseline")) for name in stages)
    assert {"models/head.safetensors", "models/head.json", ".code/infer_memory.json"} < stages["infer_memory@val"]
    assert {str(MEMORY), "conf/none/val_bank"} < stages["evaluate"]
    assert not [each for each in stages["train_head"] if "bank/" in each or "memory" in each]


def test_it_trains_without_a_bank_and_is_evaluated_on_its_own(project: Zoo, capsys) -> None:
    inputs, bank = project.values["inputs"], project.values["bank"]
    assert (bank["make"], bank["train"], bank["val"]) == ([], "conf/none/train_bank", "conf/none/val_bank")
    assert (inputs["infer_memory"], inputs["memory_bank"]) == (["val"], str(MEMORY))
    assert inputs["use"] == "nothing", "no baseline is needed"
    train_head.train_head(workers=1, device="cpu")
    trained = read_sealed_json(HEAD.with_suffix(".json"))
    assert (trained["kind"], trained["head"]["memory"], trained["banks"]) == ("detector", "asynchronous", {})
    with pytest.raises(InputError, match=f"^{re.escape(str(MEMORY))}: no such bank"):
        evaluate.evaluate(workers=1, device="cpu")
    capsys.readouterr()
    infer_memory.infer_memory("val", workers=1, device="cpu")
    assert capsys.readouterr().out == f"{MEMORY}: 1 films\n"
    assert open_bank(MEMORY).provenance["checkpoint_sha256"] == trained["sha256"]
    metrics = project.evaluate()
    # Validation has made the same rows of the same weights, and so the same scores.
    validated = read_json(Path("results/head/metrics.json"))["validation"]
    assert metrics["ground_truth"]["map"] == pytest.approx(validated["map"], abs=1e-9)
    assert metrics["windows"]["val"]["keyframes"] == 8


def test_a_memory_of_another_checkpoint_is_refused(project: Zoo) -> None:
    train_head.train_head(workers=1, device="cpu")
    infer_memory.infer_memory("val", workers=1, device="cpu")
    first = read_sealed_json(HEAD.with_suffix(".json"))["sha256"]
    project.compose(*CHOICES, "head_train.lr=0.02")
    train_head.train_head(workers=1, device="cpu")
    second = read_sealed_json(HEAD.with_suffix(".json"))["sha256"]
    message = (
        f"{MEMORY}: was made by checkpoint {first}, expected {second}; `dvc repro` makes it anew, and "
        "bank.allow_mixed=true takes any"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        evaluate.evaluate(workers=1, device="cpu")
    project.compose(*CHOICES, "head_train.lr=0.02", "bank.allow_mixed=true")
    evaluate.evaluate(workers=1, device="cpu")
    mixed = read_json(Path("results/evaluate/metrics.json"))["mixed_banks"]
    assert mixed == {"val_bank_and_expected": [first, second]}


def test_a_killed_training_ends_with_the_same_bytes(project: Zoo) -> None:
    train_head.train_head(workers=1, device="cpu")
    expected = [HEAD.read_bytes(), HEAD.with_suffix(".json").read_bytes(), digest_tree(Path("results/head"))]
    HEAD.unlink()

    # Not in a fork: in this process other tests may have started threads of PyTorch's autograd.
    killed = subprocess.run(
        [sys.executable, "-c", DYING], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not HEAD.exists()
    (state,) = Path(".work/train_head").glob("*/epoch_0002/state.safetensors")
    tensors = load_tensors(state)
    assert int(tensors["extra.step"]) == 4
    assert float(tensors["extra.now"]) > 0
    assert tensors["extra.rows"].abs().sum() > 0
    shutil.copytree(".work", "before")

    train_head.train_head(workers=1, device="cpu")
    resumed = [HEAD.read_bytes(), HEAD.with_suffix(".json").read_bytes(), digest_tree(Path("results/head"))]
    assert resumed == expected
    # It is the memory that the state must hold for that.
    shutil.rmtree(".work")
    Path("before").rename(".work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "load_state_dict", lambda self, tensors: None)
        train_head.train_head(workers=1, device="cpu")
    assert HEAD.read_bytes() != expected[0]


def test_what_rows_count_reaches_the_head(project: Zoo) -> None:
    made = {}
    for by in ("loss", "age", "none"):
        project.compose(*CHOICES, f"head_train.memory.by={by}")
        train_head.train_head(workers=1, device="cpu")
        made[by] = HEAD.read_bytes()
        record = read_sealed_json(HEAD.with_suffix(".json"))["parameters"]
        assert record.get("memory") == (None if by == "loss" else {"by": by, "half_life": 1.0})
    assert len(set(made.values())) == 3


def test_aia_trains_and_is_evaluated_on_its_own_memory(project: Zoo) -> None:
    sizes = ("head.options.latent=16", "head.options.hidden=16", "head.window.seconds=5", "head.window.per_second=2")
    backbone = ("backbone=slowonly_tiny", "backbone.width=8", "head_train.init=kinetics", "head_train.kinetics=none")
    project.compose(*backbone, "head=aia_dense_serial", "scope=all", "head.memory=asynchronous", *sizes)
    assert project.values["head"]["standardise"] == "none"
    project.train_head()
    infer_memory.infer_memory("val", workers=1, device="cpu")
    project.evaluate()

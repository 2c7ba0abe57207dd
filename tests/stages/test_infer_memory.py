"""A detector with an asynchronous memory, through the stages: trained, killed, resumed, evaluated on its own memory."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from pipeline.bank.reader import open_bank
from pipeline.base.checksums import read_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import digest_tree, read_json
from pipeline.checkpoint.weights import HEAD, load_tensors
from pipeline.training import head_training, loop
from stages import evaluate, infer_memory, train_head
from tests.kills import run_forked
from tests.stages.zoo import DATA, Zoo, make_data

MEMORY = DATA / "memory/val.zarr"
CHOICES = (
    *("backbone=slowonly_tiny", "backbone.width=8", "scope=all", "head.memory=asynchronous"),
    *("head=lfb_nl", "head.standardise=none", "head.options.latent=8"),
    *("head.window.seconds=5", "head.window.per_second=2", "head_train.lr=0.01", "head_train.schedule.epochs=3"),
    *("head_train.init=kinetics", "head_train.kinetics=none"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    make_data(folder)
    return folder


@pytest.fixture
def project(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("ACTIONBANK_PARAMS", raising=False)
    DATA.mkdir(parents=True)
    for name in ("frames", "boxes"):
        (DATA / name).symlink_to(data / DATA / name)
    (DATA / "annotations").symlink_to(data / "several")
    made = Zoo({})
    made.compose(*CHOICES)
    return made


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
    assert not list(Path(".work/train_head").glob("*/epoch_*"))

    def die_in_the_third_epoch() -> None:
        steps = 0

        class Dying(head_training.memory_task.__globals__["Memory"]):  # type: ignore[misc, name-defined]
            def after_step(self, loss: float) -> None:
                nonlocal steps
                super().after_step(loss)
                steps += 1
                if steps == 5:  # two to an epoch
                    os.kill(os.getpid(), signal.SIGKILL)

        head_training.memory_task.__globals__["Memory"] = Dying
        train_head.train_head(workers=1, device="cpu")

    HEAD.unlink()
    assert run_forked(die_in_the_third_epoch, Path.cwd())[0] == -signal.SIGKILL
    assert not HEAD.exists()
    (state,) = Path(".work/train_head").glob("*/epoch_0002/state.safetensors")
    tensors = {name: value for name, value in load_tensors(state).items() if name.startswith("extra.")}
    assert int(tensors["extra.step"]) == 4
    assert float(tensors["extra.now"]) > 0
    assert tensors["extra.rows"].abs().sum() > 0
    train_head.train_head(workers=1, device="cpu")
    assert [
        HEAD.read_bytes(), HEAD.with_suffix(".json").read_bytes(), digest_tree(Path("results/head"))
    ] == expected  # fmt: skip


def test_the_resumed_memory_matters(project: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the state holds of the memory, a resumed run would end with other bytes."""
    states: list[Any] = []
    save = loop.save_state
    monkeypatch.setattr(loop, "save_state", lambda *given: (states.append(given[-1].state_dict()), save(*given)))
    train_head.train_head(workers=1, device="cpu")
    assert len(states) == 3
    assert states[0]["rows"].shape == states[2]["rows"].shape
    whole = HEAD.read_bytes()
    project.compose(*CHOICES, "head_train.memory.by=none")
    train_head.train_head(workers=1, device="cpu")
    assert HEAD.read_bytes() != whole, "the weight of rows reaches the head"

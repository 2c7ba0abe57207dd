import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.base.files import read_json
from pipeline.base.randomness import rng_of
from pipeline.training import gradients
from pipeline.training.batch import Batch
from pipeline.training.history import Metrics
from pipeline.training.loop import Fitted, fit
from pipeline.training.optimiser import parameter_groups
from pipeline.training.outs import write_training
from pipeline.training.settings import Training
from pipeline.training.state import ExtraState
from pipeline.training.steps import Step, Task
from tests.training.settings import training_settings

SETTINGS = {"nesterov": True}
CPU = torch.device("cpu")


def steps(epoch: int) -> Iterator[Step[Batch]]:
    rng = rng_of(7, "data", epoch)
    for _ in range(3):
        x = torch.from_numpy(rng.normal(size=(8, 5))).float()
        half = [slice(0, 4), slice(4, 8)]
        parts = [Batch(labels=(x[at, :2] > 0).float(), clip_index=torch.arange(4), rows=x[at]) for at in half]
        yield Step(parts, len(parts))


class Killed(Exception):
    pass


def fit_task(model: nn.Module, task: Task[Batch], folder: Path, **changes: Any) -> Fitted:
    settings = training_settings(**{**SETTINGS, **changes})
    groups = parameter_groups(model, weight_decay=settings.weight_decay, decayed=settings.decay)
    return fit(model, task, settings, groups=groups, device=CPU, state_folder=folder)


def run(
    folder: Path,
    *,
    die_after: int | None = None,
    scores: tuple[float, ...] = (),
    extra: ExtraState | None = None,
    **changes: Any,
) -> tuple[nn.Module, Fitted]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    seen: list[int] = []

    def loss_of(batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch.rows), batch.labels)

    def validate() -> Metrics:
        assert not model.training
        torch.rand(3)  # validation may draw: no training stream may feel it
        seen.append(1)
        epoch = max((int(path.name[-4:]) for path in folder.glob("epoch_*")), default=0)
        if die_after is not None and epoch >= die_after:
            raise Killed
        return {"map": scores[epoch] if scores else 0.5}

    fitted = fit_task(model, Task("train", steps, 3, loss_of, validate, extra), folder, **changes)
    return model, fitted


class Memory:
    """State of an experiment: how often validation has asked, and a tensor that grows with it."""

    def __init__(self) -> None:
        self.rows = torch.zeros(1)

    def state_dict(self) -> dict[str, Tensor]:
        self.rows = torch.cat([self.rows, self.rows[-1:] + 1])
        return {"rows": self.rows}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        self.rows = tensors["rows"]


def test_what_an_experiment_brings_is_saved_and_restored_with_each_epoch(tmp_path: Path) -> None:
    killed, resumed = Memory(), Memory()
    with pytest.raises(Killed):
        run(tmp_path, die_after=2, extra=killed)
    assert killed.rows.tolist() == [0, 1, 2]
    run(tmp_path, extra=resumed)
    assert resumed.rows.tolist() == [0, 1, 2, 3, 4]


def test_adamw_is_pytorchs(tmp_path: Path) -> None:
    settings = {"optimiser": "adamw", "nesterov": False, "momentum": 0.8, "weight_decay": 0.1, "epochs": 1}
    torch.manual_seed(0)
    model, other = nn.Linear(5, 2), nn.Linear(5, 2)
    other.load_state_dict(model.state_dict())
    loss = nn.functional.binary_cross_entropy_with_logits
    plain = torch.optim.AdamW(other.parameters(), betas=(0.8, 0.999), weight_decay=0.1)
    rates = training_settings(**settings)
    for number, step in enumerate(steps(0)):
        plain.param_groups[0]["lr"] = rates.rate(0, number, 3)
        plain.zero_grad()
        sum(loss(other(part.rows), part.labels) / 2 for part in step.parts).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        plain.step()
    task = Task("train", steps, 3, lambda batch: loss(model(batch.rows), batch.labels), lambda: {"map": None})
    fit_task(model, task, tmp_path, **settings)
    torch.testing.assert_close(model.weight, other.weight, rtol=0, atol=1e-7)


def test_a_scaled_rate_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, fitted = run(tmp_path, lr=0.2, base_batch=128, auto_scale_lr=True, schedule_decay="step", warmup_epochs=0)
    assert fitted.history[0]["lr"] == 0.0125
    assert "lr 0.2 for a batch of 128 -> 0.0125 for 8\n" in capsys.readouterr().out


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, optimiser: str) -> None:
    chosen: dict[str, Any] = {"optimiser": optimiser, "nesterov": optimiser == "sgd"}
    whole, first = run(tmp_path / "whole", **chosen)
    with pytest.raises(Killed):
        run(tmp_path / "killed", die_after=2, **chosen)
    assert [path.name for path in sorted((tmp_path / "killed").iterdir())] == ["epoch_0001", "epoch_0002"]
    resumed, second = run(tmp_path / "killed", **chosen)
    assert first == second
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [path.name for path in sorted((tmp_path / "whole").iterdir())] == ["epoch_0003", "epoch_0004"]


def test_half_a_state_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "a")
    with pytest.raises(Killed):
        run(tmp_path / "b", die_after=1)
    shutil.copytree(tmp_path / "b/epoch_0001", tmp_path / "b/.epoch_0002.123.partial")
    (tmp_path / "b/.epoch_0002.123.partial/state.safetensors").write_bytes(b"half")
    resumed, _ = run(tmp_path / "b")
    assert torch.equal(whole[0].weight, resumed[0].weight)  # type: ignore[index]


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["gone", "cut"])
@pytest.mark.parametrize("states", [1, 2])
def test_a_state_that_a_killed_removal_left_half_does_not_stop_the_next_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str, states: int
) -> None:
    whole, _ = run(tmp_path / "whole", epochs=4)
    shutil.copytree(tmp_path / "whole", tmp_path / "half")
    for folder in sorted((tmp_path / "half").iterdir())[-states:]:
        data = (folder / name).read_bytes()
        (folder / name).unlink()
        if how == "cut":
            (folder / name).write_bytes(data[: len(data) // 2])
    resumed, _ = run(tmp_path / "half", epochs=4)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert [path.name for path in sorted((tmp_path / "half").iterdir())] == ["epoch_0003", "epoch_0004"]
    assert capsys.readouterr().err.count("the training goes on from the epoch before: ") == states


@pytest.mark.parametrize("select", ["last", "best"])
def test_without_an_epoch_the_initial_weights_stay_and_are_validated_as_epoch_0(tmp_path: Path, select: str) -> None:
    torch.manual_seed(0)
    initial = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).state_dict()
    model, fitted = run(tmp_path / "state", epochs=0, select=select)
    assert fitted == Fitted([{"epoch": 0, "lr": None, "loss": None, "map": 0.5}], 0)
    assert str(fitted) == "initial weights"
    assert not model.training
    assert all(torch.equal(value, initial[name]) for name, value in model.state_dict().items())
    _, fitted = run(tmp_path / "state", epochs=0, interval=0)
    assert fitted.history == [{"epoch": 0, "lr": None, "loss": None}]
    assert not (tmp_path / "state").exists()
    write_training(tmp_path / "outs", fitted, select=select, more={"keyframes": 3})
    assert (tmp_path / "outs/epochs.tsv").read_text() == "epoch\tlr\tloss\n0\t\t\n"
    assert read_json(tmp_path / "outs/metrics.json") == {
        "keyframes": 3,
        "selected": {"epoch": 0, "by": "initial weights"},
        "loss": None,
        "validation": {},
    }


def test_the_seed_decides_dropout(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "a")
    other, _ = run(tmp_path / "b", seed=8)
    assert not torch.equal(one[0].weight, other[0].weight)  # type: ignore[index]


def test_the_best_epoch_is_kept_on_request_and_the_earlier_one_at_a_tie(tmp_path: Path) -> None:
    scores = (0.1, 0.7, 0.7, 0.2)
    last, fitted = run(tmp_path / "last", scores=scores)
    assert fitted.selected_epoch == 4
    best, fitted = run(tmp_path / "best", scores=scores, select="best")
    assert fitted.selected_epoch == 2
    assert not torch.equal(best[0].weight, last[0].weight)  # type: ignore[index]
    with pytest.raises(Killed):
        run(tmp_path / "killed", scores=scores, select="best", die_after=3)
    resumed, fitted = run(tmp_path / "killed", scores=scores, select="best")
    assert fitted.selected_epoch == 2
    assert torch.equal(best[0].weight, resumed[0].weight)  # type: ignore[index]


def test_validation_neither_costs_nor_changes_anything_when_it_is_off(tmp_path: Path) -> None:
    off, fitted = run(tmp_path / "off", interval=0)
    on, _ = run(tmp_path / "on")
    assert "map" not in fitted.history[-1]
    assert torch.equal(off[0].weight, on[0].weight)  # type: ignore[index]
    _, fitted = run(tmp_path / "some", interval=3)
    assert ["map" in row for row in fitted.history] == [False, False, True, True]


def test_a_loss_that_is_not_finite_ends_the_run_with_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"train: the loss is nan at epoch 1, step \d+ \(learning rate .*smaller baseline.lr"
    ):
        run(tmp_path, lr=1e30, warmup_epochs=0, clip_norm=1e30)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train: no annotated keyframe with a box to train on"):
        fit_task(nn.Linear(1, 1), Task("train", steps, 0, lambda batch: batch.labels, dict), tmp_path)


def test_micro_batches_are_averaged(tmp_path: Path) -> None:
    weights = []
    for parts in (1, 2):
        torch.manual_seed(0)
        model = nn.Linear(5, 2)

        def steps_of(epoch: int, parts: int = parts) -> Iterator[Step[Batch]]:
            first, second = next(iter(steps(epoch))).parts
            both = Batch(
                torch.cat([first.labels, second.labels]),
                torch.arange(8),
                rows=torch.cat([x for x in (first.rows, second.rows) if x is not None]),
            )
            yield Step([both] if parts == 1 else [first, second], parts)

        def loss_of(batch: Batch, model: nn.Module = model) -> Tensor:
            return nn.functional.mse_loss(model(batch.rows), batch.labels)

        fit_task(model, Task("train", steps_of, 1, loss_of, lambda: {"map": None}), tmp_path / str(parts))
        weights.append(model.weight.detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-6)


@pytest.mark.parametrize("select", ["last", "best"])
def test_weights_that_overflow_at_the_last_step_are_named_and_the_state_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    every = steps
    monkeypatch.setattr("tests.training.test_loop.steps", lambda epoch: itertools.islice(every(epoch), 1))
    # The second epoch's only step has a finite loss, and a rate beyond any float32.
    monkeypatch.setattr(Training, "rate", lambda self, epoch, step, steps_per_epoch: [0.1, 3e38][epoch])
    with pytest.raises(InputError) as error:
        run(tmp_path, epochs=2, select=select, weight_decay=1e4)
    assert str(error.value) == (
        "train: after epoch 2 (learning rate 3e+38): 6 weights are infinite or no numbers (the first: 0.weight); "
        "nothing of it is saved; a smaller baseline.lr or baseline.clip_norm, or more baseline.schedule.warmup_epochs, "
        "keeps them finite"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001"]


def test_initial_weights_that_are_no_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(*_: object) -> nn.Module:
        layer = nn.Linear(5, 8)
        nn.init.constant_(layer.bias, float("nan"))
        return layer

    linear = nn.Linear
    monkeypatch.setattr(nn, "Sequential", lambda *layers: spoilt(layers, linear))
    with pytest.raises(InputError, match="train: the initial weights: 1 weights are infinite or no numbers"):
        run(tmp_path, epochs=0)


def test_a_validation_that_fails_says_after_which_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Metrics:
        raise InputError("detections: row 3: score is not a number")

    torch.manual_seed(0)
    model = nn.Linear(5, 2)
    with pytest.raises(InputError) as error:
        fit_task(model, Task("train", steps, 3, lambda batch: model(batch.rows).mean(), refuse), tmp_path)
    assert str(error.value) == "train: validation after epoch 1: detections: row 3: score is not a number"
    assert not list(tmp_path.iterdir())


def test_a_map_that_is_no_number_is_no_best_epoch(tmp_path: Path) -> None:
    _, fitted = run(tmp_path, select="best", scores=(float("nan"),) * 4)
    assert fitted.selected_epoch == 1


def counted_steps(parts: list[int]) -> Iterator[Step[Batch]]:
    """One step of six rows, in parts of these sizes."""
    x = torch.arange(12.0).reshape(6, 2) / 10
    batches = [
        Batch(labels=each[:, :1], clip_index=torch.zeros(len(each)).long(), rows=each) for each in x.split(parts)
    ]
    yield Step(batches, len(batches))


@pytest.mark.parametrize("parts", [[6], [1, 5], [2, 0, 4]])
def test_a_sum_over_rows_is_divided_by_all_rows_of_a_step_however_they_are_dealt(
    tmp_path: Path, parts: list[int]
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    task = Task(
        "train",
        lambda _: counted_steps(parts),
        1,
        lambda batch: (model(batch.rows) ** 2).sum(),
        lambda: {"map": None},
        count_of=lambda batch: len(batch.labels),
    )
    settings = {"epochs": 1, "warmup_epochs": 0, "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
    fitted = fit_task(model, task, tmp_path, **settings, schedule_decay="step", clip_norm="none", optimiser="sgd")
    x = torch.arange(12.0).reshape(6, 2) / 10
    torch.manual_seed(0)
    start = nn.Linear(2, 1)
    loss = (start(x) ** 2).mean()
    loss.backward()
    assert start.weight.grad is not None
    assert fitted.history[0]["loss"] == pytest.approx(loss.item())
    torch.testing.assert_close(model.weight, before - 0.1 * start.weight.grad)


def test_the_rows_of_all_ranks_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two ranks with the same rows, sums and counts are twice those of one, and the mean is the same."""

    def trained(folder: str) -> tuple[Tensor, float]:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)

        def loss_of(batch: Batch) -> Tensor:
            total: Tensor = (model(batch.rows) ** 2).sum()
            return total

        def count_of(batch: Batch) -> int:
            return len(batch.labels)

        task = Task("train", lambda _: counted_steps([2, 4]), 1, loss_of, lambda: {"map": None}, count_of=count_of)
        fitted = fit_task(model, task, tmp_path / folder, epochs=1, warmup_epochs=0, clip_norm="none")
        return model.weight.detach(), fitted.history[0]["loss"]

    alone, loss = trained("one")
    monkeypatch.setattr(gradients, "world_size", lambda: 2)
    monkeypatch.setattr(gradients, "sum_over_ranks", lambda flat: 2 * flat)
    together, same = trained("two")
    torch.testing.assert_close(together, alone)
    assert same == pytest.approx(loss)


def test_a_step_without_a_counted_row_changes_nothing(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    task = Task(
        "train", lambda _: counted_steps([6]), 1, lambda batch: model(batch.rows).sum() * 0, lambda: {"map": None},
        count_of=lambda batch: 0,
    )  # fmt: skip
    fitted = fit_task(model, task, tmp_path, epochs=1, weight_decay=0.0)
    assert fitted.history[0]["loss"] == 0
    assert torch.equal(model.weight, before)


def test_a_gradient_may_be_unlimited(tmp_path: Path) -> None:
    def moved(limit: float | str) -> float:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        before = model.weight.detach().clone()

        def loss_of(batch: Batch) -> Tensor:
            total: Tensor = model(batch.rows).sum()
            return total

        task = Task("train", lambda _: counted_steps([6]), 1, loss_of, lambda: {"map": None})
        fit_task(model, task, tmp_path / str(limit), epochs=1, warmup_epochs=0, clip_norm=limit)
        return float((model.weight.detach() - before).norm())

    assert moved("none") > 100 * moved(1e-3)


def test_after_each_step_its_loss_is_told_and_the_weights_have_moved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 2)
    told: list[tuple[float, Tensor]] = []
    losses: list[list[float]] = []

    def loss_of(batch: Batch) -> Tensor:
        if len(losses) == len(told):
            losses.append([])
        loss = nn.functional.binary_cross_entropy_with_logits(model(batch.rows), batch.labels)
        losses[-1].append(loss.item())
        return loss

    def after_step(loss: float) -> None:
        told.append((loss, model.weight.detach().clone()))

    task = Task("train", steps, 3, loss_of, lambda: {"map": None}, after_step=after_step)
    fit_task(model, task, tmp_path, epochs=2)
    assert [loss for loss, _ in told] == pytest.approx([sum(parts) / 2 for parts in losses])
    assert len(told) == 6
    assert len({tuple(weight.flatten().tolist()) for _, weight in told}) == 6

"""The training loop: epochs of optimiser steps, on any number of ranks; a killed training resumes where it stopped.

After each epoch the whole state (weights, optimiser, history, best weights) is in the state folder, and the next run
continues from there. The state holds no random state: every draw, including dropout, is a function of the seed and of
the epoch, step, part or sample. So it does not depend on the rank either.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from pipeline.base.distributed import agree, copy_from_main
from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision, named_nondeterminism
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import is_main, rank, world_size
from pipeline.training.gradients import divide_gradients, sum_step
from pipeline.training.history import SHOWN, Metrics
from pipeline.training.logs import LogSettings
from pipeline.training.norms import RunningStatistics, prepare_norm, train_mode
from pipeline.training.optimiser import Groups, Optimiser, make_optimiser, set_rate
from pipeline.training.plateau import find_plateau, selection_score
from pipeline.training.settings import Fitting
from pipeline.training.speed import speed_up
from pipeline.training.state import State, load_state, save_state
from pipeline.training.steps import P, Step, Task, check_ranks
from pipeline.training.watch import Watch, watch_training


@dataclass(frozen=True)
class Fitted:
    """The result of a training; the model then holds the selected epoch's weights."""

    history: list[Metrics]  # one row per epoch: epoch (from 1), lr, loss, and the metrics of its validation
    selected_epoch: int  # 0 for the initial weights, if the schedule has no epochs

    @property
    def kept(self) -> Metrics:
        """The row of the selected epoch."""
        return next(row for row in self.history if row["epoch"] == self.selected_epoch)

    def __str__(self) -> str:
        return (
            f"epoch {self.selected_epoch}, loss {self.kept['loss']:.4f}" if self.selected_epoch else "initial weights"
        )


def fit(
    model: nn.Module,
    task: Task[P],
    settings: Fitting,
    *,
    groups: Groups,
    device: torch.device,
    state_folder: Path,
    log: LogSettings | None = None,
) -> Fitted:
    """Train `model` in place, from the newest state in `state_folder` if there is one.

    If the schedule has no epochs, the model is only validated, as epoch 0.

    The gradient of a step is the mean over its parts (with `task.count_of`, over its rows), on whichever ranks they
    are: eight parts on one rank and one part on each of eight ranks differ only by rounding.

    Args:
        model: on `device`; every rank starts from rank 0's weights.
        task: what to train on; see `Task`.
        settings: see `Fitting`.
        groups: the parameters of `model` in groups for the optimiser (`parameter_groups`).
        device: device of `model`.
        state_folder: folder of the states; the last two are kept, and the caller removes them after writing its outs.
        log: where points are logged while the training runs; no out depends on it.

    Raises:
        InputError: there is nothing to train on, the loss is not finite, ranks and parts do not fit, or a setting
            cannot be used here; weights are not finite after an epoch; validation fails; or the log cannot be opened.
    """
    if not task.steps_per_epoch:
        raise InputError(f"{task.what}: no {task.samples} to train on")
    if settings.auto_scale_lr:
        batches = f"for a batch of {settings.base_batch} -> {settings.full_lr:g} for {settings.global_batch}"
        print(f"lr {settings.lr:g} {batches}")
    optimiser, state = _begin(model, task, settings, groups, device, state_folder)
    if not settings.schedule.epochs:
        return _initial(model, task, settings)
    gradients = partial(_gradients, model, task=task, settings=settings, device=device)
    extent = (settings.schedule.epochs, task.steps_per_epoch)
    with watch_training(task.what, extent, history=state.history, log=log, headline=settings.headline) as watch:
        while not settings.is_over(state.history):
            epoch = len(state.history)
            row = _train_epoch(model, optimiser, task, epoch, gradients, settings, watch)
            if settings.is_validated(epoch + 1):
                watch.validating()
                model.eval()
                row.update(_validated(task.validate, f"{task.what}: validation after epoch {epoch + 1}"))
                _keep_best(model, row, state, settings)
            state.history.append(row)
            watch.end_epoch(row)
            if is_main():
                save_state(model, optimiser, state, state_folder, task.extra)
    _say_stop(state.history, settings, task.what)
    return _selected(model, state, settings)


def _begin(
    model: nn.Module, task: Task[P], settings: Fitting, groups: Groups, device: torch.device, state_folder: Path
) -> tuple[Optimiser, State]:
    """Check that the ranks fit, prepare the model, and load the newest state into it and its optimiser."""
    batches = {"global_batch": settings.global_batch, "bn_batch": settings.bn_batch}
    check_ranks(**batches, block=settings.block)
    prepare_norm(model, settings.norm, device=device, block=settings.block, **batches)
    speed_up(model, memory_format=settings.memory_format, compile_backbone=settings.compile, device=device)
    optimiser = make_optimiser(
        groups,
        name=settings.optimiser,
        lr=settings.full_lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
    )
    state = load_state(model, optimiser, state_folder, task.extra)
    agree(len(state.history), f"{task.what}: epochs done")
    copy_from_main(model.state_dict().values())
    return optimiser, state


def _initial(model: nn.Module, task: Task[P], settings: Fitting) -> Fitted:
    model.eval()
    _check_finite(model, f"{task.what}: the initial weights", settings.block)
    scored: Metrics = {}
    if settings.validation.interval:
        scored = _validated(task.validate, f"{task.what}: validation of the initial weights")
    return Fitted([{"epoch": 0, "lr": None, "loss": None, **scored}], 0)


def _train_epoch(
    model: nn.Module,
    optimiser: Optimiser,
    task: Task[P],
    epoch: int,
    gradients: Callable[[Step[P], tuple[int, int]], float],
    settings: Fitting,
    watch: Watch,
) -> Metrics:
    """Run the steps of one epoch, and return its row of the history.

    Args:
        model: the model to train.
        optimiser: of its parameters.
        task: what to train on.
        epoch: from 0.
        gradients: computes the gradient of a step into the parameters and returns its loss; see `_gradients`.
        settings: see `Fitting`.
        watch: gets every step, to show and log it.
    """
    train_mode(model, settings.norm)
    losses: list[float] = []
    rate = 0.0
    for number, step in enumerate(task.steps_of(epoch)):
        if settings.norm == "sync" and step.count < world_size():
            continue  # an incomplete last step: ranks without a part would wait for ever
        rate = settings.rate(epoch, number, watch.steps_per_epoch)
        set_rate(optimiser, rate)
        loss = gradients(step, (epoch, number))
        if not math.isfinite(loss):
            raise InputError(
                f"{watch.what}: the loss is {loss} at epoch {epoch + 1}, step {number + 1} (learning rate {rate:g}); "
                f"a smaller {settings.block}.lr or {settings.block}.clip_norm keeps it finite"
            )
        if settings.clip_norm != "none":
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimiser.step()
        if task.after_step is not None:
            task.after_step(loss)
        losses.append(loss)
        watch.step(number, loss, rate)
    _check_finite(model, f"{watch.what}: after epoch {epoch + 1} (learning rate {rate:g})", settings.block)
    return {"epoch": epoch + 1, "lr": rate, "loss": sum(losses) / max(len(losses), 1)}


def _keep_best(model: nn.Module, row: Metrics, state: State, settings: Fitting) -> None:
    """Keep the weights of a validated epoch that is better than all before it, if the best ones are selected."""
    score = selection_score(row, settings.headline)
    if settings.checkpoint.select == "best" and score > state.best_score:
        state.best_score, state.best_epoch = score, row["epoch"]
        state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _selected(model: nn.Module, state: State, settings: Fitting) -> Fitted:
    """Put the selected epoch's weights into the model, and return the result."""
    model.eval()
    if settings.checkpoint.select == "best":
        model.load_state_dict(state.best)
        return Fitted(state.history, state.best_epoch)
    return Fitted(state.history, len(state.history))


def _say_stop(history: Sequence[Metrics], settings: Fitting, what: str) -> None:
    if len(history) >= settings.schedule.epochs or not is_main():
        return
    found = find_plateau(history, settings.early_stop.min_delta, settings.headline)
    delta = f" by more than {settings.early_stop.min_delta:g}" if settings.early_stop.min_delta else ""
    shown = "none" if found.score < 0 else f"{found.score:.4f}"
    place = f"epoch {len(history)} of {settings.schedule.epochs}"
    print(
        f"{what}: stopped after {place}: the validation {SHOWN[settings.headline]} has not risen{delta} "
        f"for {found.since} validation{'s' if found.since > 1 else ''}, since {shown} after epoch {found.epoch}",
        file=sys.stderr,
    )


def _check_finite(model: nn.Module, where: str, block: str) -> None:
    """Check that no weight has overflowed. A step's loss uses the weights before it, so the last loss cannot show this.

    Raises:
        InputError: a weight or a statistic is infinite or NaN; earlier saved states remain.
    """
    wrong = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if wrong:
        raise InputError(
            f"{where}: {len(wrong)} weights are infinite or no numbers (the first: {wrong[0]}); nothing of it is "
            f"saved; a smaller {block}.lr or {block}.clip_norm, or more {block}.schedule.warmup_epochs, keeps them "
            f"finite"
        )


def _validated(validate: Callable[[], Metrics], where: str) -> Metrics:
    try:
        return validate()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _gradients(
    model: nn.Module,
    step: Step[P],
    place: tuple[int, int],
    *,
    task: Task[P],
    settings: Fitting,
    device: torch.device,
) -> float:
    """Compute the mean gradient of a step's parts (or of its rows) into the parameters, and return the mean loss."""
    parameters = list(model.parameters())
    statistics = RunningStatistics(model)
    for parameter in parameters:
        parameter.grad = None
    loss, rows = 0.0, 0
    for number, batch in enumerate(step.parts):
        part = rank() + number * world_size()
        # Part 0 has the same seed as a step of only one part.
        torch.manual_seed(seed_of(settings.seed, "dropout", *place, *([part] if part else [])))
        with named_nondeterminism(device):
            with compute_precision(device, settings.compute_dtype):
                part_loss = task.loss_of(batch.to(device))
            part_loss.backward()  # type: ignore[no-untyped-call]
        loss += float(part_loss.detach())
        rows += task.count_of(batch) if task.count_of else 0
        statistics.end_part()
    others = [*statistics.totals, *([torch.tensor(float(rows), device=device)] if task.count_of else [])]
    totals, loss = sum_step(parameters, others, loss, device)
    divisor = max(int(totals.pop()), 1) if task.count_of else step.count
    divide_gradients(parameters, divisor)
    statistics.end_step(totals, step.count)
    return loss / divisor

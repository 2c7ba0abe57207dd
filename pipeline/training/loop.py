"""The training loop: SGD by epochs, on any number of ranks, which a kill cannot hurt.

After each epoch the whole state (weights, momentum, history, the best weights) lies in the state folder; the next
run goes on from there. No random state is part of it: every draw, dropout included, is a function of the seed, the
epoch and the step, part or sample, and so of no rank either.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.distributed import agree, copy_from_main
from pipeline.errors import InputError
from pipeline.numerics import compute_precision, named_nondeterminism
from pipeline.randomness import seed_of
from pipeline.ranks import is_main, rank, world_size
from pipeline.training.batch import Batch, Step, check_ranks
from pipeline.training.gradients import divide_gradients, sum_step
from pipeline.training.logs import LogSettings
from pipeline.training.norms import Norm, RunningStatistics, prepare_norm, train_mode
from pipeline.training.optimiser import SGD, WeightDecay, parameter_groups, set_rate
from pipeline.training.plateau import find_plateau, selection_score
from pipeline.training.schedule import learning_rate
from pipeline.training.speed import MemoryFormat, speed_up
from pipeline.training.state import Metrics, State, load_state, save_state
from pipeline.training.watch import Watch, watch_training


@dataclass(frozen=True)
class Fitted:
    """The outcome of a training: the model holds the selected epoch's weights."""

    history: list[Metrics]  # one row per epoch: epoch (from 1), lr, loss, and what validation gave
    selected_epoch: int  # 0 for the initial weights, where no epoch was asked for

    @property
    def kept(self) -> Metrics:
        """The row of the selected epoch."""
        return next(row for row in self.history if row["epoch"] == self.selected_epoch)

    def __str__(self) -> str:
        return (
            f"epoch {self.selected_epoch}, loss {self.kept['loss']:.4f}" if self.selected_epoch else "initial weights"
        )


@dataclass(frozen=True)
class Optimisation:
    """SGD, its learning rate over the epochs, and which epoch is kept; see `pipeline.params.Training`."""

    epochs: int
    lr: float
    warmup_epochs: int
    warmup_factor: float
    warmup_by: Literal["epoch", "iteration"]
    decay: Literal["step", "cosine"]
    milestones: Sequence[int]
    gamma: float
    momentum: float
    nesterov: bool
    weight_decay: float
    clip_norm: float  # largest L2 norm of the whole gradient
    validation_interval: int  # epochs; the last one is always validated; 0 for never
    select: Literal["last", "best"]  # best: the validated epoch of the highest `map`, the earlier one at a tie
    compute_dtype: str
    seed: int  # of dropout
    global_batch: int  # keyframes of an optimiser step
    bn_batch: int  # keyframes of a part: of one forward pass, over which batch norm takes its statistics
    norm: Norm = "batch"  # see `prepare_norm`
    decayed: WeightDecay = "all"  # see `parameter_groups`
    bias_lr_factor: float = 1.0
    memory_format: MemoryFormat = "contiguous"  # see `speed_up`
    compile: bool = False
    block: str = "baseline"  # of the parameters, for messages
    patience: int = 0  # validations in a row without a rise of the `map` that end the training; 0 for none
    min_delta: float = 0.0  # see `find_plateau`

    def is_validated(self, epoch: int) -> bool:
        """Whether the model is scored after an epoch, counted from 1."""
        return bool(self.validation_interval) and (epoch % self.validation_interval == 0 or epoch == self.epochs)

    def is_over(self, history: Sequence[Metrics]) -> bool:
        """Whether no epoch follows those of `history`."""
        stopped = self.patience and find_plateau(history, self.min_delta).since >= self.patience
        return bool(stopped) or len(history) >= self.epochs

    def rate(self, epoch: int, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step; epoch and step count from 0."""
        return learning_rate(
            epoch,
            step,
            steps_per_epoch,
            lr=self.lr,
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            warmup_factor=self.warmup_factor,
            warmup_by=self.warmup_by,
            decay=self.decay,
            milestones=self.milestones,
            gamma=self.gamma,
        )


def fit(
    model: nn.Module,
    steps_of: Callable[[int], Iterable[Step]],
    *,
    steps_per_epoch: int,
    loss_of: Callable[[Batch], Tensor],
    validate: Callable[[], Metrics],
    optimisation: Optimisation,
    device: torch.device,
    state_folder: Path,
    what: str,
    log: LogSettings | None = None,
) -> Fitted:
    """Train `model` in place, from the newest state in `state_folder` if there is one.

    Without any epoch the model stays as it is, and is validated as epoch 0.

    The gradient of a step is the mean over its parts, whichever ranks they lie on: eight parts on one rank and one
    part on each of eight differ by rounding alone.

    Args:
        model: on `device`; every rank starts from rank 0's weights.
        steps_of: for an epoch (from 0), the optimiser steps, as many on every rank.
        steps_per_epoch: how many steps `steps_of` gives.
        loss_of: the loss of one part (a scalar with gradient).
        validate: scores the model, in evaluation mode; gives a number or None under `map`, the same on every rank.
        optimisation: see `Optimisation`.
        device: where `model` is.
        state_folder: where states lie; the last two are kept, and the caller drops them when its outs are written.
        what: name of the training, as in its progress bar.
        log: where points of it are written while it runs; nothing that is made depends on it.

    Raises:
        InputError: there is nothing to train on, the loss is not finite, ranks and parts do not fit, or a setting
            cannot be had here; weights are not finite after an epoch; validation fails; or the log cannot be begun.
    """
    if not steps_per_epoch:
        raise InputError(f"{what}: no annotated keyframe with a box to train on")
    optimiser, state = _begin(model, optimisation, device, state_folder, what)
    if not optimisation.epochs:
        return _initial(model, validate, optimisation, what)
    gradients = partial(_gradients, model, loss_of=loss_of, optimisation=optimisation, device=device)
    extent = (optimisation.epochs, steps_per_epoch)
    with watch_training(what, extent, history=state.history, log=log) as watch:
        while not optimisation.is_over(state.history):
            epoch = len(state.history)
            row = _train_epoch(model, optimiser, steps_of(epoch), epoch, gradients, optimisation, watch)
            if optimisation.is_validated(epoch + 1):
                watch.validating()
                model.eval()
                row.update(_validated(validate, f"{what}: validation after epoch {epoch + 1}"))
                _keep_best(model, row, state, optimisation)
            state.history.append(row)
            watch.end_epoch(row)
            if is_main():
                save_state(model, optimiser, state, state_folder)
    _say_stop(state.history, optimisation, what)
    return _selected(model, state, optimisation)


def _begin(
    model: nn.Module, optimisation: Optimisation, device: torch.device, state_folder: Path, what: str
) -> tuple[SGD, State]:
    """Check what the ranks share, set the model up, and put the newest state into it and its optimiser."""
    batches = {"global_batch": optimisation.global_batch, "bn_batch": optimisation.bn_batch}
    block = optimisation.block
    check_ranks(**batches, block=block)
    prepare_norm(model, optimisation.norm, device=device, block=block, **batches)
    speed_up(model, memory_format=optimisation.memory_format, compile_backbone=optimisation.compile, device=device)
    optimiser = SGD(
        parameter_groups(
            model,
            weight_decay=optimisation.weight_decay,
            decayed=optimisation.decayed,
            bias_lr_factor=optimisation.bias_lr_factor,
        ),
        lr=optimisation.lr,
        momentum=optimisation.momentum,
        nesterov=optimisation.nesterov,
    )
    state = load_state(model, optimiser, state_folder)
    agree(len(state.history), f"{what}: epochs done")
    copy_from_main(model.state_dict().values())
    return optimiser, state


def _initial(model: nn.Module, validate: Callable[[], Metrics], optimisation: Optimisation, what: str) -> Fitted:
    model.eval()
    _check_finite(model, f"{what}: the initial weights", optimisation.block)
    scored: Metrics = {}
    if optimisation.validation_interval:
        scored = _validated(validate, f"{what}: validation of the initial weights")
    return Fitted([{"epoch": 0, "lr": None, "loss": None, **scored}], 0)


def _train_epoch(
    model: nn.Module,
    optimiser: SGD,
    steps: Iterable[Step],
    epoch: int,
    gradients: Callable[[Step, tuple[int, int]], float],
    optimisation: Optimisation,
    watch: Watch,
) -> Metrics:
    """The steps of one epoch, and its row of the history.

    Args:
        model: is trained.
        optimiser: of its parameters.
        steps: those of the epoch.
        epoch: from 0.
        gradients: leaves the gradient of a step in the parameters and gives its loss; see `_gradients`.
        optimisation: see `Optimisation`.
        watch: is told of every step.
    """
    train_mode(model, optimisation.norm)
    losses: list[float] = []
    rate = 0.0
    for number, step in enumerate(steps):
        if optimisation.norm == "sync" and step.count < world_size():
            continue  # the last step of an epoch, short of parts: ranks would wait for statistics of none
        rate = optimisation.rate(epoch, number, watch.steps_per_epoch)
        set_rate(optimiser, rate)
        loss = gradients(step, (epoch, number))
        if not math.isfinite(loss):
            raise InputError(
                f"{watch.what}: the loss is {loss} at epoch {epoch + 1}, step {number + 1} (learning rate {rate:g}); "
                f"a smaller {optimisation.block}.lr or {optimisation.block}.clip_norm keeps it finite"
            )
        nn.utils.clip_grad_norm_(model.parameters(), optimisation.clip_norm)
        optimiser.step()
        losses.append(loss)
        watch.step(number, loss, rate)
    _check_finite(model, f"{watch.what}: after epoch {epoch + 1} (learning rate {rate:g})", optimisation.block)
    return {"epoch": epoch + 1, "lr": rate, "loss": sum(losses) / max(len(losses), 1)}


def _keep_best(model: nn.Module, row: Metrics, state: State, optimisation: Optimisation) -> None:
    """Keep the weights of a validated epoch that is better than all before it, where the best ones are asked for."""
    score = selection_score(row)
    if optimisation.select == "best" and score > state.best_map:
        state.best_map, state.best_epoch = score, row["epoch"]
        state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _selected(model: nn.Module, state: State, optimisation: Optimisation) -> Fitted:
    """The outcome; leaves the selected epoch's weights in the model."""
    model.eval()
    if optimisation.select == "best":
        model.load_state_dict(state.best)
        return Fitted(state.history, state.best_epoch)
    return Fitted(state.history, len(state.history))


def _say_stop(history: Sequence[Metrics], optimisation: Optimisation, what: str) -> None:
    if len(history) >= optimisation.epochs or not is_main():
        return
    found = find_plateau(history, optimisation.min_delta)
    delta = f" by more than {optimisation.min_delta:g}" if optimisation.min_delta else ""
    shown = "none" if found.map < 0 else f"{found.map:.4f}"
    print(
        f"{what}: stopped after epoch {len(history)} of {optimisation.epochs}: the validation mAP has not risen{delta} "
        f"for {found.since} validation{'s' if found.since > 1 else ''}, since {shown} after epoch {found.epoch}",
        file=sys.stderr,
    )


def _check_finite(model: nn.Module, where: str, block: str) -> None:
    """Refuse weights that have overflowed: the loss of a step is of the weights before it, so no loss tells it.

    Raises:
        InputError: a weight or a statistic is infinite or no number; what was saved before stays.
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
    step: Step,
    place: tuple[int, int],
    *,
    loss_of: Callable[[Batch], Tensor],
    optimisation: Optimisation,
    device: torch.device,
) -> float:
    """Leave the mean gradient of a step's parts in the parameters, and give their mean loss."""
    parameters = list(model.parameters())
    statistics = RunningStatistics(model)
    for parameter in parameters:
        parameter.grad = None
    loss = 0.0
    for number, batch in enumerate(step.parts):
        part = rank() + number * world_size()
        # The first part draws as a step of one part does.
        torch.manual_seed(seed_of(optimisation.seed, "dropout", *place, *([part] if part else [])))
        with named_nondeterminism(device):
            with compute_precision(device, optimisation.compute_dtype):
                part_loss = loss_of(batch.to(device))
            part_loss.backward()  # type: ignore[no-untyped-call]
        loss += float(part_loss.detach())
        statistics.end_part()
    totals, loss = sum_step(parameters, statistics.totals, loss, device)
    divide_gradients(parameters, step.count)
    statistics.end_step(totals, step.count)
    return loss / step.count

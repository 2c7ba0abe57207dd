"""The training loop: SGD by epochs, on any number of ranks, which a kill cannot hurt.

After each epoch the whole state (weights, momentum, history, the best weights) lies in the state folder; the next
run goes on from there. No random state is part of it: every draw, dropout included, is a function of the seed, the
epoch and the step, part or sample, and so of no rank either.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.distributed import agree, copy_from_main
from pipeline.errors import InputError
from pipeline.numerics import compute_precision, named_nondeterminism
from pipeline.progress import progress
from pipeline.randomness import seed_of
from pipeline.ranks import is_main, rank, world_size
from pipeline.training.batch import Batch, Step, check_ranks
from pipeline.training.gradients import divide_gradients, sum_step
from pipeline.training.norms import Norm, RunningStatistics, prepare_norm, train_mode
from pipeline.training.optimiser import WeightDecay, parameter_groups, set_rate
from pipeline.training.schedule import learning_rate
from pipeline.training.speed import MemoryFormat, speed_up
from pipeline.training.state import Metrics, load_state, save_state


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
        what: name of the progress bar.

    Raises:
        InputError: there is nothing to train on, the loss is not finite, ranks and parts do not fit, or a setting
            cannot be had here; weights are not finite after an epoch; or validation fails.
    """
    if not steps_per_epoch:
        raise InputError(f"{what}: no annotated keyframe with a box to train on")
    epochs, select, interval = optimisation.epochs, optimisation.select, optimisation.validation_interval
    batches = {"global_batch": optimisation.global_batch, "bn_batch": optimisation.bn_batch}
    block = optimisation.block
    check_ranks(**batches, block=block)
    prepare_norm(model, optimisation.norm, device=device, block=block, **batches)
    speed_up(model, memory_format=optimisation.memory_format, compile_backbone=optimisation.compile, device=device)
    optimiser = torch.optim.SGD(
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
    if not epochs:
        model.eval()
        _check_finite(model, f"{what}: the initial weights", block)
        scored = _validated(validate, f"{what}: validation of the initial weights") if interval else {}
        return Fitted([{"epoch": 0, "lr": None, "loss": None, **scored}], 0)
    for epoch in range(len(state.history), epochs):
        train_mode(model, optimisation.norm)
        losses: list[float] = []
        rate = 0.0
        steps = progress(steps_of(epoch), what=f"{what} epoch {epoch + 1}/{epochs}", total=steps_per_epoch, unit="step")
        for number, step in enumerate(steps):
            if optimisation.norm == "sync" and step.count < world_size():
                continue  # the last step of an epoch, short of parts: ranks would wait for statistics of none
            rate = optimisation.rate(epoch, number, steps_per_epoch)
            set_rate(optimiser, rate)
            loss = _gradients(model, step, loss_of, (epoch, number), optimisation, device)
            if not math.isfinite(loss):
                raise InputError(
                    f"{what}: the loss is {loss} at epoch {epoch + 1}, step {number + 1} (learning rate {rate:g}); "
                    f"a smaller {block}.lr or {block}.clip_norm keeps it finite"
                )
            nn.utils.clip_grad_norm_(model.parameters(), optimisation.clip_norm)
            optimiser.step()
            losses.append(loss)
        _check_finite(model, f"{what}: after epoch {epoch + 1} (learning rate {rate:g})", block)
        row: Metrics = {"epoch": epoch + 1, "lr": rate, "loss": sum(losses) / max(len(losses), 1)}
        if interval and ((epoch + 1) % interval == 0 or epoch + 1 == epochs):
            model.eval()
            row.update(_validated(validate, f"{what}: validation after epoch {epoch + 1}"))
            score = -1.0 if row["map"] is None or math.isnan(row["map"]) else float(row["map"])
            if select == "best" and score > state.best_map:
                state.best_map, state.best_epoch = score, epoch + 1
                state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.history.append(row)
        if is_main():
            save_state(model, optimiser, state, state_folder)
    model.eval()
    if select == "best":
        model.load_state_dict(state.best)
        return Fitted(state.history, state.best_epoch)
    return Fitted(state.history, epochs)


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
    loss_of: Callable[[Batch], Tensor],
    place: tuple[int, int],
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

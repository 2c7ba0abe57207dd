"""The training loop: SGD by epochs, which a kill cannot hurt.

After each epoch the whole state (weights, momentum, history, the best weights) lies in the state folder; the next
run goes on from there. No random state is part of it: every draw, dropout included, is a function of the seed, the
epoch and the step or sample.
"""

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.checkpoint import load_tensors, save_tensors
from pipeline.errors import InputError
from pipeline.files import read_json, replace_folder, write_json
from pipeline.numerics import compute_precision
from pipeline.progress import progress
from pipeline.randomness import seed_of
from pipeline.training.batch import Batch
from pipeline.training.schedule import learning_rate

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """The outcome of a training: the model holds the selected epoch's weights."""

    history: list[Metrics]  # one row per epoch: epoch (from 1), lr, loss, and what validation gave
    selected_epoch: int


@dataclass
class _State:
    """What a resumed run needs."""

    history: list[Metrics]
    best_epoch: int
    best_map: float
    best: dict[str, Tensor]


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
    weight_decay: float  # on every parameter
    clip_norm: float  # largest L2 norm of the whole gradient
    validation_interval: int  # epochs; the last one is always validated; 0 for never
    select: Literal["last", "best"]  # best: the validated epoch of the highest `map`, the earlier one at a tie
    compute_dtype: str
    seed: int  # of dropout

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
    steps_of: Callable[[int], Iterable[Sequence[Batch]]],
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

    Args:
        model: on `device`.
        steps_of: for an epoch (from 0), the optimiser steps, each the micro-batches whose losses are averaged.
        steps_per_epoch: how many steps `steps_of` gives.
        loss_of: the loss of one micro-batch (a scalar with gradient).
        validate: scores the model, in evaluation mode; gives a number or None under `map`.
        optimisation: see `Optimisation`.
        device: where `model` is.
        state_folder: where states lie; the last two are kept, and the caller drops them when its outs are written.
        what: name of the progress bar.

    Raises:
        InputError: there is nothing to train on, or the loss is not finite.
    """
    if not steps_per_epoch:
        raise InputError(f"{what}: no annotated keyframe with a box to train on")
    epochs, select, interval = optimisation.epochs, optimisation.select, optimisation.validation_interval
    parameters = dict(model.named_parameters())
    optimiser = torch.optim.SGD(
        parameters.values(),
        lr=optimisation.lr,
        momentum=optimisation.momentum,
        nesterov=optimisation.nesterov,
        weight_decay=optimisation.weight_decay,
    )
    state = _resume(model, optimiser, parameters, state_folder)
    for epoch in range(len(state.history), epochs):
        model.train()
        losses: list[float] = []
        rate = 0.0
        steps = progress(steps_of(epoch), what=f"{what} epoch {epoch + 1}/{epochs}", total=steps_per_epoch, unit="step")
        for step, batches in enumerate(steps):
            torch.manual_seed(seed_of(optimisation.seed, "dropout", epoch, step))
            rate = optimisation.rate(epoch, step, steps_per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            loss = 0.0
            for batch in batches:
                with compute_precision(device, optimisation.compute_dtype):
                    part = loss_of(batch.to(device)) / len(batches)
                part.backward()  # type: ignore[no-untyped-call]
                loss += float(part.detach())
            if not math.isfinite(loss):
                raise InputError(
                    f"{what}: the loss is {loss} at epoch {epoch + 1}, step {step + 1} (learning rate {rate:g}); "
                    "a smaller lr or clip_norm keeps it finite"
                )
            nn.utils.clip_grad_norm_(parameters.values(), optimisation.clip_norm)
            optimiser.step()
            losses.append(loss)
        row: Metrics = {"epoch": epoch + 1, "lr": rate, "loss": sum(losses) / max(len(losses), 1)}
        if interval and ((epoch + 1) % interval == 0 or epoch + 1 == epochs):
            model.eval()
            row.update(validate())
            score = -1.0 if row["map"] is None else float(row["map"])
            if select == "best" and score > state.best_map:
                state.best_map, state.best_epoch = score, epoch + 1
                state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.history.append(row)
        _save(model, optimiser, parameters, state, state_folder)
    model.eval()
    if select == "best":
        model.load_state_dict(state.best)
        return Fitted(state.history, state.best_epoch)
    return Fitted(state.history, epochs)


def _save(
    model: nn.Module,
    optimiser: torch.optim.SGD,
    parameters: dict[str, nn.Parameter],
    state: _State,
    folder: Path,
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in parameters.items():
        buffer = optimiser.state[parameter].get("momentum_buffer") if parameter in optimiser.state else None
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    tensors.update({f"best.{name}": value for name, value in state.best.items()})
    epoch = len(state.history)
    with replace_folder(folder / f"epoch_{epoch:04d}") as partial:
        save_tensors(partial / "state.safetensors", tensors)
        best = {"best_epoch": state.best_epoch, "best_map": state.best_map}
        write_json(partial / "state.json", {"history": state.history, **best})
    for old in sorted(folder.glob("epoch_*"))[:-2]:
        shutil.rmtree(old)


def _resume(model: nn.Module, optimiser: torch.optim.SGD, parameters: dict[str, nn.Parameter], folder: Path) -> _State:
    states = sorted(folder.glob("epoch_*"))
    if not states:
        return _State(history=[], best_epoch=0, best_map=-math.inf, best={})
    tensors = load_tensors(states[-1] / "state.safetensors")
    saved = read_json(states[-1] / "state.json")

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(part("model."))
    for name, buffer in part("momentum.").items():
        optimiser.state[parameters[name]]["momentum_buffer"] = buffer.to(parameters[name].device)
    best_map = -math.inf if saved["best_map"] is None else float(saved["best_map"])
    return _State(saved["history"], int(saved["best_epoch"]), best_map, part("best."))

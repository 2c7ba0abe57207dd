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
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.checkpoint import load_tensors, save_tensors
from pipeline.errors import InputError
from pipeline.files import read_json, replace_folder, write_json
from pipeline.numerics import compute_precision
from pipeline.progress import progress
from pipeline.randomness import seed_of
from pipeline.training.batch import Batch

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


def fit(
    model: nn.Module,
    steps_of: Callable[[int], Iterable[Sequence[Batch]]],
    *,
    steps_per_epoch: int,
    loss_of: Callable[[Batch], Tensor],
    rate_of: Callable[[int, int], float],
    epochs: int,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    clip_norm: float,
    seed: int,
    device: torch.device,
    compute_dtype: str,
    state_folder: Path,
    validate: Callable[[], Metrics],
    validation_interval: int,
    select: str,
    what: str,
) -> Fitted:
    """Train `model` in place, from the newest state in `state_folder` if there is one.

    Args:
        model: on `device`.
        steps_of: for an epoch (from 0), the optimiser steps, each the micro-batches whose losses are averaged.
        steps_per_epoch: how many steps `steps_of` gives.
        loss_of: the loss of one micro-batch (a scalar with gradient).
        rate_of: learning rate for (epoch, step), both from 0.
        epochs: how many there are in all.
        momentum: of SGD.
        nesterov: of SGD.
        weight_decay: of SGD, on every parameter.
        clip_norm: largest L2 norm of the whole gradient.
        seed: of dropout.
        device: where `model` is.
        compute_dtype: fp32, tf32 or bf16.
        state_folder: where states lie; the last two are kept, and the caller drops them when its outs are written.
        validate: scores the model; must return a number or None under `map`.
        validation_interval: epochs between validations (the last epoch is always validated); 0 for never.
        select: `last`, or `best` for the validated epoch of the highest `map` (the earlier one at a tie).
        what: name of the progress bar.

    Raises:
        InputError: the loss is not finite.
    """
    parameters = dict(model.named_parameters())
    optimiser = torch.optim.SGD(
        parameters.values(), lr=1.0, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    state = _resume(model, optimiser, parameters, state_folder)
    for epoch in range(len(state.history), epochs):
        model.train()
        losses: list[float] = []
        rate = 0.0
        steps = progress(
            steps_of(epoch), what=f"{what} epoch {epoch + 1}/{epochs}", total=steps_per_epoch, unit="step"
        )
        for step, batches in enumerate(steps):
            torch.manual_seed(seed_of(seed, "dropout", epoch, step))
            rate = rate_of(epoch, step)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            loss = 0.0
            for batch in batches:
                with compute_precision(device, compute_dtype):
                    part = loss_of(batch.to(device)) / len(batches)
                part.backward()
                loss += float(part)
            if not math.isfinite(loss):
                raise InputError(
                    f"{what}: the loss is {loss} at epoch {epoch + 1}, step {step + 1} (learning rate {rate:g}); "
                    "a smaller lr or clip_norm keeps it finite"
                )
            nn.utils.clip_grad_norm_(parameters.values(), clip_norm)
            optimiser.step()
            losses.append(loss)
        row: Metrics = {"epoch": epoch + 1, "lr": rate, "loss": sum(losses) / max(len(losses), 1)}
        if validation_interval and ((epoch + 1) % validation_interval == 0 or epoch + 1 == epochs):
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
    model: nn.Module, optimiser: torch.optim.SGD, parameters: dict[str, nn.Parameter], state: _State, folder: Path
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


def _resume(
    model: nn.Module, optimiser: torch.optim.SGD, parameters: dict[str, nn.Parameter], folder: Path
) -> _State:
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

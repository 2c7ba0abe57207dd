"""The state of a training that a resumed run needs, in one folder per epoch."""

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.checkpoint import load_tensors, save_tensors
from pipeline.errors import InputError
from pipeline.files import read_json, replace_folder, write_json

Metrics = dict[str, Any]


@dataclass
class State:
    """What is known after some epochs, beside weights and momentum."""

    history: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0
    best_map: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    "The weights of `best_epoch`, where the best ones are kept."


def save_state(model: nn.Module, optimiser: torch.optim.SGD, state: State, folder: Path) -> None:
    """Write the state after the last epoch of `state.history`, and drop all but the last two."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
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


def load_state(model: nn.Module, optimiser: torch.optim.SGD, folder: Path) -> State:
    """Put the newest state into model and optimiser; a fresh `State` where there is none."""
    states = sorted(folder.glob("epoch_*"))
    if not states:
        return State()
    tensors = load_tensors(states[-1] / "state.safetensors")
    saved = read_json(states[-1] / "state.json")
    if not isinstance(saved, dict) or not {"history", "best_epoch", "best_map"} <= saved.keys():
        raise InputError(
            f"{states[-1] / 'state.json'}: is no state of a training; remove {states[-1]} and run it again"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(part("model."))
    parameters = dict(model.named_parameters())
    for name, buffer in part("momentum.").items():
        optimiser.state[parameters[name]]["momentum_buffer"] = buffer.to(parameters[name].device)
    best_map = -math.inf if saved["best_map"] is None else float(saved["best_map"])
    return State(saved["history"], int(saved["best_epoch"]), best_map, part("best."))

"""The state of a training that a resumed run needs, in one folder per epoch."""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipeline.checkpoint import load_tensors, save_tensors
from pipeline.checksums import read_sealed_json, write_sealed_json
from pipeline.errors import InputError
from pipeline.files import remove_folder, replace_folder
from pipeline.training.optimiser import SGD

Metrics = dict[str, Any]
OF_EPOCH = ("epoch", "lr", "loss")
"Keys of every epoch's row; what else it has is of its validation."


@dataclass
class State:
    """What is known after some epochs, beside weights and momentum."""

    history: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0
    best_map: float = -math.inf
    best: dict[str, Tensor] = field(default_factory=dict)
    "The weights of `best_epoch`, where the best ones are kept."


def save_state(model: nn.Module, optimiser: SGD, state: State, folder: Path) -> None:
    """Write the state after the last epoch of `state.history`, and drop all but the last two."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        buffer = optimiser.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    tensors.update({f"best.{name}": value for name, value in state.best.items()})
    epoch = len(state.history)
    with replace_folder(folder / f"epoch_{epoch:04d}") as partial:
        sha256 = save_tensors(partial / "state.safetensors", tensors)
        best = {"best_epoch": state.best_epoch, "best_map": state.best_map}
        write_sealed_json(partial / "state.json", {"history": state.history, **best, "sha256": sha256})
    kept = {f"epoch_{epoch:04d}", f"epoch_{epoch - 1:04d}"}
    for old in folder.glob("epoch_*"):
        if old.name not in kept:
            remove_folder(old)


def load_state(model: nn.Module, optimiser: SGD, folder: Path) -> State:
    """Put the newest whole state into model and optimiser; a fresh `State` where there is none.

    A damaged one is said on standard error and left for its epoch, which is trained again, to replace.
    """
    for epoch in sorted(folder.glob("epoch_*"), reverse=True):
        try:
            saved = read_sealed_json(epoch / "state.json", required=True)
            tensors = load_tensors(epoch / "state.safetensors", saved["sha256"])
        except InputError as error:
            print(f"the training goes on from the epoch before: {error}", file=sys.stderr)
            continue
        return _restore(model, optimiser, saved, tensors)
    return State()


def _restore(model: nn.Module, optimiser: SGD, saved: Metrics, tensors: dict[str, Tensor]) -> State:
    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(part("model."))
    parameters = dict(model.named_parameters())
    for name, buffer in part("momentum.").items():
        optimiser.state[parameters[name]] = {"momentum_buffer": buffer.to(parameters[name].device)}
    best_map = -math.inf if saved["best_map"] is None else float(saved["best_map"])
    return State(saved["history"], int(saved["best_epoch"]), best_map, part("best."))

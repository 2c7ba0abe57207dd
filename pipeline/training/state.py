"""Save and load the state that a resumed training needs, in one folder per epoch."""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.base.errors import InputError
from pipeline.base.files import remove_folder, replace_folder
from pipeline.checkpoint.weights import load_tensors, save_tensors
from pipeline.training.history import Metrics
from pipeline.training.optimiser import Optimiser


@dataclass
class State:
    """The state of a training after some epochs, besides weights and optimiser."""

    history: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    "The headline of its validation."
    best: dict[str, Tensor] = field(default_factory=dict)
    "The weights of `best_epoch`, if the best ones are selected."


class ExtraState(Protocol):
    """State that an experiment adds to a training, besides model and optimiser, such as a memory of features.

    It is saved and restored with each epoch, so that a resumed run ends with the same bytes. Each rank has its own
    copy, but only rank 0's is saved after an epoch, so all copies must then be equal.
    """

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that later steps depend on."""

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""


def save_state(
    model: nn.Module, optimiser: Optimiser, state: State, folder: Path, extra: ExtraState | None = None
) -> None:
    """Write the state after the last epoch of `state.history`, and remove all but the last two."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for slot, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{slot}.{name}"] = value
    tensors.update({f"best.{name}": value for name, value in state.best.items()})
    if extra is not None:
        tensors.update({f"extra.{name}": value for name, value in extra.state_dict().items()})
    epoch = len(state.history)
    with replace_folder(folder / f"epoch_{epoch:04d}") as partial:
        sha256 = save_tensors(partial / "state.safetensors", tensors)
        best = {"best_epoch": state.best_epoch, "best_score": state.best_score}
        write_sealed_json(partial / "state.json", {"history": state.history, **best, "sha256": sha256})
    kept = {f"epoch_{epoch:04d}", f"epoch_{epoch - 1:04d}"}
    for old in folder.glob("epoch_*"):
        if old.name not in kept:
            remove_folder(old)


def load_state(model: nn.Module, optimiser: Optimiser, folder: Path, extra: ExtraState | None = None) -> State:
    """Load the newest undamaged state into model, optimiser and `extra`; return a new `State` if there is none.

    A damaged state is reported on standard error and left in place; its epoch is trained again and replaces it.
    """
    for epoch in sorted(folder.glob("epoch_*"), reverse=True):
        try:
            saved = read_sealed_json(epoch / "state.json", required=True)
            tensors = load_tensors(epoch / "state.safetensors", saved["sha256"])
        except InputError as error:
            print(f"the training goes on from the epoch before: {error}", file=sys.stderr)
            continue
        _restore(model, optimiser, tensors)
        if extra is not None:
            extra.load_state_dict(_part(tensors, "extra."))
        best_score = -math.inf if saved["best_score"] is None else float(saved["best_score"])
        return State(saved["history"], int(saved["best_epoch"]), best_score, _part(tensors, "best."))
    return State()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore(model: nn.Module, optimiser: Optimiser, tensors: dict[str, Tensor]) -> None:
    model.load_state_dict(_part(tensors, "model."))
    parameters = dict(model.named_parameters())
    for name, value in _part(tensors, "optimiser.").items():
        slot, _, of = name.partition(".")
        # Adam keeps its step count on the CPU, wherever the parameters are.
        place = value.device if slot == "step" else parameters[of].device
        optimiser.state.setdefault(parameters[of], {})[slot] = value.to(place)

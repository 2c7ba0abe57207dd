"""Check the parameter groups of layer decay, and the rates of its groups over a training, against MMAction2's.

A fixture of groups has, for each model, a list of groups and `MODEL_betas`. Depth, decay, full rate and weight decay
are read off the groups, and the groups of a network of that depth are made anew. A fixture of rates has, by number of
the iteration, the rates of the head and of the patch embedding; its note says how many iterations an epoch has, and
which model's recipe was used. What both do not say is `RECIPES`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import near
from pipeline.interop.compare_fixture import Difference, ParityReport
from pipeline.models.backbones.videomae import VideoMae
from pipeline.training.optimiser import make_optimiser, parameter_groups, set_rate
from pipeline.training.schedule import Schedule, learning_rate

EXACT = 1e-9
"MMEngine makes each rate of the one before, so that its last ones, which are near 0, are off by some roundings."
NAME = re.compile(r"layer_(\d+)_(decay|no_decay)")
ITERATIONS = re.compile(r"(\d+) iterations an epoch")
BROKEN = (KeyError, TypeError, AttributeError, IndexError, ValueError, StopIteration)


@dataclass(frozen=True)
class Recipe:
    """The training of a published detector (MMAction2, configs/detection/videomae)."""

    lr: float
    layer_decay: float
    layers: int
    epochs: int = 20
    warmup_epochs: int = 5
    warmup_factor: float = 0.1


RECIPES = {"ViT-B": Recipe(1.25e-4, 0.75, 12), "ViT-L": Recipe(2.5e-4, 0.8, 24)}


def is_groups(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON holds parameter groups of layer decay."""
    models = _models(facts)
    return bool(models) and all(_is_group(each) for groups in models.values() for each in groups)


def is_rates(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON holds rates of head and patch embedding."""
    rates = facts.get("lr")
    return isinstance(rates, dict) and bool(rates) and all(_is_pair(each) for each in rates.values())


def _models(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: each for name, each in facts.items() if isinstance(each, list) and not name.endswith("_betas")}


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and {"name", "lr", "lr_scale", "weight_decay", "count"} <= value.keys()


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def check_groups(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Make the parameter groups of each model, and compare names, numbers of tensors, rates and weight decays.

    Args:
        path: the fixture's JSON; there is no npz.
        facts: what the JSON holds.

    Raises:
        InputError: the groups are not whole.
    """
    differences = []
    try:
        for name, groups in _models(facts).items():
            differences += _compare_groups(name, groups, facts.get(f"{name}_betas"))
    except BROKEN as error:
        raise InputError(f"{path}: not a whole fixture: {type(error).__name__} {error}") from None
    return ParityReport(path.stem, "MMAction2", None, None, differences, f"{EXACT:g} |x|; names and numbers exactly")


def _compare_groups(name: str, groups: Sequence[Mapping[str, Any]], betas: Any) -> list[Difference]:
    top = max(int(_layer(each)) for each in groups)
    full = next(each for each in groups if int(_layer(each)) == top)
    decay = next(each for each in groups if int(_layer(each)) == top - 1)["lr_scale"] / full["lr_scale"]
    rate = full["lr"] / full["lr_scale"]
    network = _network(top - 1)
    made = parameter_groups(
        network, weight_decay=max(each["weight_decay"] for each in groups), decayed="weights", layer_decay=decay
    )
    optimiser = make_optimiser(made, name="adamw", lr=rate, momentum=0.9, nesterov=False)
    set_rate(optimiser, rate)
    layers = {each: network.backbone.layer_of(key) for key, each in network.backbone.named_parameters()}
    found = {}
    for each in optimiser.param_groups:
        kind = "decay" if each["weight_decay"] else "no_decay"
        found[f"layer_{layers.get(each['params'][0], top)}_{kind}"] = each
    wanted = {each["name"]: each for each in groups}
    if list(found) != list(wanted):
        note = f"groups {', '.join(found)}"
        return [Difference(f"{name}/names", len(wanted), float("inf"), float("inf"), note)]
    numbers = {
        "count": [len(each["params"]) for each in found.values()],
        "lr": [each["lr"] for each in found.values()],
        "lr_scale": [each["lr_factor"] for each in found.values()],
        "weight_decay": [each["weight_decay"] for each in found.values()],
    }
    compared = [
        near(f"{name}/{key}", values, [each[key] for each in wanted.values()], relative=EXACT)
        for key, values in numbers.items()
    ]
    if betas is not None:
        compared.append(near(f"{name}/betas", optimiser.param_groups[0]["betas"], betas, relative=EXACT))
    return compared


def _layer(group: Mapping[str, Any]) -> str:
    name = NAME.fullmatch(group["name"])
    if name is None:
        raise ValueError(f"a group's name is {group['name']!r}, expected layer_N_decay or layer_N_no_decay")
    return name[1]


class _Network(nn.Module):
    """A backbone and a classifier, as many tensors as a detector has; their sizes do not matter."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.backbone = VideoMae(width=2, depth=layers, heads=1)
        self.classifier = nn.Linear(2, 1)


def _network(layers: int) -> _Network:
    with torch.device("meta"):
        return _Network(layers)


def check_rates(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Compute the rates of the head and of the patch embedding in each iteration that the fixture has.

    What the JSON says beside them (`base_lr`, `layer_decay`, `layers`, `epochs`, `warmup_epochs`, `warmup_factor`,
    `iterations_per_epoch`) goes before the recipe and the note.

    Args:
        path: the fixture's JSON; there is no npz.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture says neither the recipe nor how long an epoch is, or an iteration is no number.
    """
    note = str(facts.get("note", ""))
    found = ITERATIONS.search(note)
    per_epoch = facts.get("iterations_per_epoch", int(found[1]) if found else None)
    recipe = next((each for name, each in RECIPES.items() if name in note), None)
    if recipe is None or not isinstance(per_epoch, int):
        raise InputError(f"{path}: the note is {note!r}, expected {' or '.join(RECIPES)} and 'N iterations an epoch'")
    told = {"lr": "base_lr", **{each.name: each.name for each in fields(Recipe) if each.name != "lr"}}
    recipe = replace(recipe, **{name: facts[key] for name, key in told.items() if key in facts})
    schedule = Schedule(
        epochs=recipe.epochs,
        epoch_steps="pass",
        warmup_epochs=recipe.warmup_epochs,
        warmup_factor=recipe.warmup_factor,
        warmup_by="iteration",
        decay="cosine",
        milestones=[],
        gamma=0.1,
    )
    network = _network(recipe.layers)
    groups = parameter_groups(network, weight_decay=0.05, decayed="weights", layer_decay=recipe.layer_decay)
    optimiser = make_optimiser(groups, name="adamw", lr=recipe.lr, momentum=0.9, nesterov=False)
    places = {each: number for number, group in enumerate(groups) for each in group["params"]}
    ends = [network.classifier.weight, network.backbone.patch_embed.projection.weight]
    mine, theirs = [], []
    for name, pair in facts["lr"].items():
        if not name.isdecimal():
            raise InputError(f"{path}: an iteration is {name!r}, expected a number")
        epoch, step = divmod(int(name), per_epoch)
        set_rate(
            optimiser, learning_rate(schedule, recipe.lr, epoch=epoch, iteration=step, iterations_per_epoch=per_epoch)
        )
        mine.append([optimiser.param_groups[places[each]]["lr"] for each in ends])
        theirs.append(pair)
    return ParityReport(
        path.stem,
        "MMAction2",
        None,
        None,
        [near("lr", mine, theirs, relative=EXACT, absolute=EXACT * recipe.lr)],
        f"{EXACT:g} (lr + |x|)",
    )

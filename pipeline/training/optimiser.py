"""Optimisers by name, and which parameters they treat how."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pipeline.training.settings import Training

WeightDecay = Literal["all", "weights"]
Groups = Iterable[dict[str, Any]]
"As PyTorch's optimisers take them, each with `params`, `weight_decay` and `lr_factor`; see `parameter_groups`."
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, decayed: WeightDecay, bias_lr_factor: float = 1.0
) -> list[dict[str, Any]]:
    """The parameters of `model` by how they are trained; a group's rate is `lr_factor` times that of the schedule.

    Args:
        model: every parameter is in one group, in the model's order.
        weight_decay: L2 penalty.
        decayed: `all` penalises every parameter (MMAction2's detectors); `weights` neither scales and shifts of
            norms nor biases (PySlowFast's `BN.WEIGHT_DECAY` of 0, AlphAction).
        bias_lr_factor: rate of biases outside of norms over that of weights (TRN, as Caffe had it: 2).
    """
    biases: set[nn.Parameter] = set()
    norms: set[nn.Parameter] = set()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, NORMS):
            norms.update(own)
        else:
            biases.update(each for name, each in module.named_parameters(recurse=False) if name.endswith("bias"))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        spared = decayed == "weights" and (parameter in biases or parameter in norms)
        factor = bias_lr_factor if parameter in biases else 1.0
        groups.setdefault((0.0 if spared else weight_decay, factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate of the schedule, times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_factor"]


def groups_of(model: nn.Module, settings: Training) -> Groups:
    """The parameters of `model` as the settings of a training treat them."""
    return parameter_groups(model, weight_decay=settings.weight_decay, decayed=settings.decay)


def make_optimiser(groups: Groups, *, name: str, lr: float, momentum: float, nesterov: bool) -> torch.optim.Optimizer:
    """SGD or AdamW.

    Args:
        groups: see `Groups`.
        name: `sgd` or `adamw`.
        lr: of a group of factor 1, until `set_rate` sets another.
        momentum: of SGD; AdamW's first beta, whose second is 0.999.
        nesterov: SGD's other kind of momentum.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999))
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)

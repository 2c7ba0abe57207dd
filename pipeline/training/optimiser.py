"""Build optimisers by name, and group the parameters that they treat differently."""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.sgd import sgd

from pipeline.base.errors import InputError
from pipeline.models.backbones.transformer import Layered
from pipeline.models.heads.head import Head
from pipeline.training.layered import check_layers
from pipeline.training.settings import Training

WeightDecay = Literal["all", "weights"]
Groups = Iterable[dict[str, Any]]
"Parameter groups for PyTorch's optimisers, each with `params`, `weight_decay` and `lr_factor`."
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def parameter_groups(
    model: nn.Module,
    *,
    weight_decay: float,
    decayed: WeightDecay,
    bias_lr_factor: float = 1.0,
    interaction_lr_factor: float = 1.0,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Group the parameters of `model` by decay and rate; a group's rate is `lr_factor` times the schedule's rate.

    Args:
        model: each of its parameters is in exactly one group, in the model's order.
        weight_decay: L2 penalty.
        decayed: `all` penalises every parameter (MMAction2's detectors); `weights` excludes the biases, and the scales
            and shifts of norms (PySlowFast's `BN.WEIGHT_DECAY` of 0, AlphAction).
        bias_lr_factor: ratio of the rate of biases (outside norms) to that of weights (2 in TRN, as in Caffe).
        interaction_lr_factor: ratio of the rate of `interaction_parameters` to that of all else (10 in AlphAction). A
            bias of these has both factors.
        layer_decay: ratio of the rate of each block of the backbone to that of the next one; see `layer_factors`.
    """
    biases: set[nn.Parameter] = set()
    norms: set[nn.Parameter] = set()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, NORMS):
            norms.update(own)
        else:
            biases.update(each for name, each in module.named_parameters(recurse=False) if name.endswith("bias"))
    interaction = interaction_parameters(model)
    layers = layer_factors(model, layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        spared = decayed == "weights" and (parameter in biases or parameter in norms)
        factor = bias_lr_factor if parameter in biases else 1.0
        factor *= interaction_lr_factor if parameter in interaction else 1.0
        factor *= layers.get(parameter, 1.0)
        groups.setdefault((0.0 if spared else weight_decay, factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def interaction_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters of the `interaction` of the heads of `model`: what looks at persons, objects and memory."""
    shared = [each.shared for each in model.modules() if isinstance(each, Head)]
    parts = [getattr(each, "interaction", None) for each in shared]
    return {parameter for part in parts if isinstance(part, nn.Module) for parameter in part.parameters()}


def layer_factors(model: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Return the ratio of the rate of each parameter of the backbone to the full one: decay ^ (layers + 1 - layer).

    What follows the last block, the final norm for one, has the full rate, as the head has. A backbone that is not
    `Layered` gives no factors.
    """
    backbone = getattr(model, "backbone", None)
    if decay == 1 or not isinstance(backbone, nn.Module) or not isinstance(backbone, Layered):
        return {}
    top = backbone.layers + 1
    return {each: decay ** (top - backbone.layer_of(name)) for name, each in backbone.named_parameters()}


class Optimiser(Protocol):
    """What the training loop needs of an optimiser; PyTorch's have it."""

    param_groups: list[dict[str, Any]]
    state: Any
    "Parameter to tensors by name."

    def step(self) -> Any:
        """Update every parameter that has a gradient."""


class SGD:
    """`torch.optim.SGD`, equal to the bit.

    PyTorch's class imports PyTorch's compiler, which takes seconds at the start of every training.
    """

    def __init__(self, groups: Groups, *, lr: float, momentum: float, nesterov: bool) -> None:
        """Create the optimiser without momentum.

        Args:
            groups: see `parameter_groups`.
            lr: of every group, until `set_rate`.
            momentum: factor of the sum of gradients at each step.
            nesterov: use Nesterov's momentum.
        """
        self.param_groups = [{**group, "lr": lr} for group in groups]
        self.momentum = momentum
        self.nesterov = nesterov
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            buffers = [self.state.get(each, {}).get("momentum_buffer") for each in parameters]
            sgd(
                parameters,
                [each.grad for each in parameters],
                buffers,
                weight_decay=group["weight_decay"],
                momentum=self.momentum,
                lr=group["lr"],
                dampening=0.0,
                nesterov=self.nesterov,
                maximize=False,
            )
            for parameter, buffer in zip(parameters, buffers, strict=True):
                if buffer is not None:
                    self.state[parameter] = {"momentum_buffer": buffer}


def set_rate(optimiser: Optimiser, rate: float) -> None:
    """Set the rate of every group to the schedule's rate times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_factor"]


def groups_of(model: nn.Module, settings: Training) -> Groups:
    """Group the parameters of `model` as the settings of a training say.

    Raises:
        InputError: `interaction_lr_factor` is not 1, and the head has no interaction; or `layer_decay` is not 1, and no
            backbone is trained that has layers.
    """
    if settings.interaction_lr_factor != 1 and not interaction_parameters(model):
        raise InputError(
            f"{settings.block}.interaction_lr_factor is {settings.interaction_lr_factor:g}, and the head has no "
            "interaction, as those of aia_* have; expected 1"
        )
    check_layers(model, settings.layer_decay, f"{settings.block}.layer_decay", usual=1)
    return parameter_groups(
        model,
        weight_decay=settings.weight_decay,
        decayed=settings.decay,
        bias_lr_factor=settings.bias_lr_factor,
        interaction_lr_factor=settings.interaction_lr_factor,
        layer_decay=settings.layer_decay,
    )


def make_optimiser(groups: Groups, *, name: str, lr: float, momentum: float, nesterov: bool) -> Optimiser:
    """Build SGD or AdamW.

    Args:
        groups: see `Groups`.
        name: `sgd` or `adamw`.
        lr: rate of a group with factor 1, until `set_rate` sets another.
        momentum: of SGD; for AdamW the first beta (the second is 0.999).
        nesterov: use Nesterov's momentum in SGD.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999))
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)

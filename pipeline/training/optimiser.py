"""SGD, and which parameters it treats how."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.sgd import sgd

WeightDecay = Literal["all", "weights"]
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


class SGD:
    """`torch.optim.SGD` to the bit, without PyTorch's compiler, which that class imports: seconds of every start."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float, nesterov: bool) -> None:
        """Begin without momentum.

        Args:
            groups: see `parameter_groups`.
            lr: of every group, until `set_rate`.
            momentum: what is kept of the sum of gradients at each step.
            nesterov: step ahead by the momentum.
        """
        self.param_groups = [{**group, "lr": lr} for group in groups]
        self.momentum = momentum
        self.nesterov = nesterov
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
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


def set_rate(optimiser: SGD, rate: float) -> None:
    """Give every group the rate of the schedule, times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["lr_factor"]

import torch
from torch import nn

from pipeline.training.optimiser import parameter_groups, set_rate


def model() -> nn.Module:
    return nn.ModuleDict(
        {
            "conv": nn.Conv3d(3, 4, 1, bias=False), "norm": nn.BatchNorm3d(4), "linear": nn.Linear(4, 4),
            "layer_norm": nn.LayerNorm(4), "classifier": nn.Linear(4, 2),
        }
    )  # fmt: skip


def named(groups: list[dict], source: nn.Module) -> list[tuple[float, float, list[str]]]:
    names = {parameter: name for name, parameter in source.named_parameters()}
    return [(each["weight_decay"], each["lr_factor"], [names[every] for every in each["params"]]) for each in groups]


def test_all_parameters_decay_in_one_group_in_the_models_order() -> None:
    network = model()
    groups = parameter_groups(network, weight_decay=1e-4, decayed="all")
    assert named(groups, network) == [(1e-4, 1.0, [name for name, _ in network.named_parameters()])]


def test_norms_and_biases_are_spared() -> None:
    network = model()
    weights = ["conv.weight", "linear.weight", "classifier.weight"]
    rest = ["norm.weight", "norm.bias", "linear.bias", "layer_norm.weight", "layer_norm.bias", "classifier.bias"]
    groups = parameter_groups(network, weight_decay=1e-4, decayed="weights")
    assert named(groups, network) == [(1e-4, 1.0, weights), (0.0, 1.0, rest)]


def test_biases_outside_of_norms_may_have_a_rate_of_their_own() -> None:
    network = model()
    groups = parameter_groups(network, weight_decay=5e-4, decayed="weights", bias_lr_factor=2)
    assert named(groups, network) == [
        (5e-4, 1.0, ["conv.weight", "linear.weight", "classifier.weight"]),
        (0.0, 1.0, ["norm.weight", "norm.bias", "layer_norm.weight", "layer_norm.bias"]),
        (0.0, 2.0, ["linear.bias", "classifier.bias"]),
    ]
    optimiser = torch.optim.SGD(groups, lr=1.0)
    set_rate(optimiser, 0.3)
    assert [group["lr"] for group in optimiser.param_groups] == [0.3, 0.3, 0.6]


def test_weight_decay_shrinks_what_it_names_and_nothing_else() -> None:
    network = model()
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.SGD(parameter_groups(network, weight_decay=0.1, decayed="weights"), lr=1.0)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, value in network.named_parameters():
        shrinks = name in ("conv.weight", "linear.weight", "classifier.weight")
        torch.testing.assert_close(value.detach(), start[name] * (0.9 if shrinks else 1))

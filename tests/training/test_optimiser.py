import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.base.errors import InputError
from pipeline.models.build import build_backbone
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.training.optimiser import SGD, groups_of, interaction_parameters, parameter_groups, set_rate
from tests.training.settings import training_settings

REPOSITORY = Path(__file__).resolve().parent.parent.parent


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


def test_tables_of_positions_are_spared_as_norms_and_biases_are() -> None:
    network = nn.Module()
    network.backbone = build_backbone("hiera_tiny", width=8)
    spared = {
        name: decayed == "weights" for decayed in ("all", "weights") for each in
        parameter_groups(network, weight_decay=1e-4, decayed=decayed) if not each["weight_decay"]
        for name in named([each], network)[0][2] if "pos_embed" in name
    }  # fmt: skip
    assert spared == {"backbone.pos_embed_spatial": True, "backbone.pos_embed_temporal": True}


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
    optimiser = SGD(groups, lr=1.0, momentum=0.0, nesterov=False)
    set_rate(optimiser, 0.3)
    assert [group["lr"] for group in optimiser.param_groups] == [0.3, 0.3, 0.6]


def test_weight_decay_shrinks_what_it_names_and_nothing_else() -> None:
    network = model()
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    groups = parameter_groups(network, weight_decay=0.1, decayed="weights")
    optimiser = SGD(groups, lr=1.0, momentum=0.0, nesterov=False)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, value in network.named_parameters():
        shrinks = name in ("conv.weight", "linear.weight", "classifier.weight")
        torch.testing.assert_close(value.detach(), start[name] * (0.9 if shrinks else 1))


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_steps_are_those_of_pytorch_to_the_bit(momentum: float, nesterov: bool) -> None:
    networks = []
    for kind in (SGD, torch.optim.SGD):
        torch.manual_seed(0)
        network = model()
        groups = parameter_groups(network, weight_decay=0.1, decayed="weights", bias_lr_factor=2)
        optimiser = kind(groups, lr=0.1, momentum=momentum, nesterov=nesterov)
        for step in range(3):
            set_rate(optimiser, 0.3 / (step + 1))
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter)
            if not step:  # of a parameter without a gradient nothing is known, and it stays
                dict(network.named_parameters())["linear.bias"].grad = None
            optimiser.step()
        networks.append(network.state_dict())
    for name, value in networks[1].items():
        assert torch.equal(networks[0][name], value), name


def test_a_training_starts_without_pytorchs_compiler() -> None:
    """It takes seconds to import; what draws nothing on the meta device, and the optimiser, do without."""
    code = (
        "import sys, torch\n"
        "from pipeline.models.build import build_detector\n"
        "from pipeline.training.optimiser import SGD, parameter_groups\n"
        "with torch.device('meta'): build_detector('slowonly_r50_nl', classes=2, mlp=True)\n"
        "network = torch.nn.Linear(2, 2)\n"
        "groups = parameter_groups(network, weight_decay=0.1, decayed='all')\n"
        "network(torch.ones(1, 2)).sum().backward()\n"
        "SGD(groups, lr=0.1, momentum=0.9, nesterov=True).step()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Body(nn.Module):
    """What a head aia_* holds before its classifier, in small."""

    def __init__(self) -> None:
        super().__init__()
        self.interaction = nn.Linear(4, 4)
        self.layers = nn.Linear(4, 4)


def head(body: nn.Module | None) -> nn.Module:
    settings = HeadSettings(roi_channels=4, bank_channels=0, classes=2)
    return nn.ModuleDict({"backbone": nn.Linear(3, 4), "head": Head(body, settings, channels=4)})


def test_the_interaction_of_a_head_has_a_rate_of_its_own_and_its_biases_both_factors() -> None:
    network = head(Body())
    settings = training_settings(weight_decay=1e-7, decay="weights", bias_lr_factor=2.0, interaction_lr_factor=10.0)
    assert named(list(groups_of(network, settings)), network) == [
        (1e-7, 1.0, ["backbone.weight", "head.shared.layers.weight", "head.classifier.weight"]),
        (0.0, 2.0, ["backbone.bias", "head.shared.layers.bias", "head.classifier.bias"]),
        (1e-7, 10.0, ["head.shared.interaction.weight"]),
        (0.0, 20.0, ["head.shared.interaction.bias"]),
    ]


@pytest.mark.parametrize("body", [None, nn.Linear(4, 4)])
def test_a_rate_of_an_interaction_that_is_not_there_is_refused(body: nn.Module | None) -> None:
    assert interaction_parameters(head(body)) == set()
    with pytest.raises(InputError) as error:
        groups_of(head(body), training_settings(interaction_lr_factor=10.0))
    assert str(error.value) == (
        "baseline.interaction_lr_factor is 10, and the head has no interaction, as those of aia_* have; expected 1"
    )
    assert len(list(groups_of(head(body), training_settings()))) == 1

import pytest
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.training.layered import prepare_layers
from pipeline.training.optimiser import groups_of, parameter_groups
from tests.training.settings import training_settings

KEEP = Hardware(torch.device("cpu"), 1, 1)


class Chain(nn.Module):
    """The least that is `Layered`: an embedding, two blocks and a final norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.norm = nn.LayerNorm(4)
        self.layers, self.recompute, self.rate = 2, False, 0.0

    def layer_of(self, name: str) -> int:
        place = name.split(".")
        return {"embed": 0, "norm": 3}[place[0]] if place[0] != "blocks" else int(place[1]) + 1

    def set_drop_path(self, rate: float) -> None:
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x


class Model(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(4, 2)


def test_the_rate_falls_with_depth_and_final_norm_and_head_have_the_full_one() -> None:
    network = Model(Chain())
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, weight_decay=0.05, decayed="weights", layer_decay=0.5)
    found = {names[each]: (group["lr_factor"], group["weight_decay"]) for group in groups for each in group["params"]}
    assert found == {
        "backbone.embed.weight": (0.125, 0.05), "backbone.embed.bias": (0.125, 0.0),
        "backbone.blocks.0.weight": (0.25, 0.05), "backbone.blocks.0.bias": (0.25, 0.0),
        "backbone.blocks.1.weight": (0.5, 0.05), "backbone.blocks.1.bias": (0.5, 0.0),
        "backbone.norm.weight": (1.0, 0.0), "backbone.norm.bias": (1.0, 0.0),
        "head.weight": (1.0, 0.05), "head.bias": (1.0, 0.0),
    }  # fmt: skip
    assert len(groups) == 8


def test_settings_reach_a_backbone_with_layers() -> None:
    chain = Chain()
    network = Model(chain)
    settings = training_settings(layer_decay=0.5, drop_path=0.2)
    prepare_layers(network, settings, Hardware(torch.device("cpu"), 1, 1, recompute=True))
    assert (chain.rate, chain.recompute) == (0.2, True)
    assert {group["lr_factor"] for group in groups_of(network, settings)} == {0.125, 0.25, 0.5, 1.0}


def test_other_models_take_the_usual_values_alone() -> None:
    network = Model(nn.Linear(3, 4))
    prepare_layers(network, training_settings(), Hardware(torch.device("cpu"), 1, 1, recompute=True))
    assert len(list(groups_of(network, training_settings()))) == 1
    expected = r"and the backbone has no layers; expected 1, or a transformer such as videomae_b$"
    with pytest.raises(InputError, match=rf"^baseline\.layer_decay is 0\.75, {expected}"):
        groups_of(network, training_settings(layer_decay=0.75))
    with pytest.raises(InputError, match=r"^baseline\.drop_path is 0\.2, and no backbone is trained, only a head on a"):
        prepare_layers(nn.Linear(3, 4), training_settings(drop_path=0.2), KEEP)

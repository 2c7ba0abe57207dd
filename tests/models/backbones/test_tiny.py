import pytest
import torch

from pipeline.models.build import build_backbone, parameter_count


@pytest.mark.parametrize(
    ("name", "channels", "parameters"), [("slowonly_tiny", 128, 137_552), ("slowfast_tiny", 160, 172_772)]
)
def test_size_stride_and_channels(name: str, channels: int, parameters: int) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(2, 3, 4, 96, 128))
    assert sum(each.shape[1] for each in maps) == channels == backbone.out_channels
    assert all(each.shape[3:] == (12, 16) for each in maps)
    assert backbone.stride == 8
    assert parameter_count(backbone) == parameters


@pytest.mark.parametrize("name", ["slowonly_tiny", "slowfast_tiny"])
def test_every_parameter_learns_after_the_first_step(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name)
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1)
    for _ in range(2):  # the zero scale of a residual keeps its branch from any gradient in the first step
        optimiser.zero_grad()
        maps = backbone(torch.randn(2, 3, 4, 32, 32))
        sum(each.square().mean() for each in maps).backward()
        optimiser.step()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in backbone.parameters())


def test_the_weights_that_a_seed_draws_stay_what_they_were() -> None:
    """Results of the playground, and banks that are shared, were trained from these."""
    torch.manual_seed(0)
    backbone = build_backbone("slowonly_tiny")
    weights = [backbone.get_parameter(name) for name in ("conv1.conv.weight", "layer4.0.downsample.conv.weight")]
    found = [float(weight.detach().flatten()[0]) for weight in weights]
    assert found == pytest.approx([-0.10738516, -0.03411980], abs=1e-7)

import torch

from pipeline.models.build import parameter_count
from pipeline.models.tiny import slowonly_tiny


def test_size_stride_and_channels() -> None:
    backbone = slowonly_tiny().eval()
    with torch.no_grad():
        (feature_map,) = backbone(torch.zeros(2, 3, 4, 96, 128))
    assert feature_map.shape == (2, 128, 4, 12, 16)
    assert (backbone.out_channels, backbone.stride) == (128, 8)
    assert parameter_count(backbone) == 137_552


def test_every_parameter_learns_after_the_first_step() -> None:
    torch.manual_seed(0)
    backbone = slowonly_tiny()
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1)
    for _ in range(2):  # the zero scale of a residual keeps its branch from any gradient in the first step
        optimiser.zero_grad()
        (feature_map,) = backbone(torch.randn(2, 3, 4, 32, 32))
        feature_map.square().mean().backward()
        optimiser.step()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in backbone.parameters())

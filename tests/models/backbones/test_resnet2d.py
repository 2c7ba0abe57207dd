"""The networks' numbers are held by the fixtures of recognizers (tests/interop/test_trn_fixture.py)."""

import torch

from pipeline.interop.torchvision_resnet import backbone_key
from pipeline.models.backbones.resnet2d import resnet50, resnet_tiny
from pipeline.models.build import parameter_count


def test_resnet50_has_torchvisions_weights_by_key_and_shape() -> None:
    # Imported here and not above: it takes a second, and each worker reads all files of tests.
    from torchvision import models

    with torch.device("meta"):
        ours, theirs = resnet50(), models.resnet50()
    named = {backbone_key(key): value.shape for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    assert named == {f"backbone.{key}": value.shape for key, value in ours.state_dict().items()}
    assert (ours.out_channels, ours.stride) == (2048, 32)


def test_the_tiny_one_is_small_and_has_the_stride_of_the_large_one() -> None:
    network = resnet_tiny(8).eval()
    assert network(torch.zeros(3, 3, 64, 96)).shape == (3, network.out_channels, 2, 3)
    assert 200_000 < parameter_count(resnet_tiny()) < 400_000


def test_the_order_of_bytes_is_in_nothing_but_rounding() -> None:
    torch.manual_seed(0)
    network, frames = resnet_tiny(8).eval(), torch.randn(2, 3, 40, 48)
    first = network(frames)
    network.memory_format = torch.contiguous_format
    torch.testing.assert_close(network(frames), first, rtol=1e-4, atol=1e-5)


def test_convolutions_start_as_published() -> None:
    torch.manual_seed(0)
    conv = resnet50(16).get_parameter("layer2.0.conv2.conv.weight").detach()
    deviation = (2 / (conv.shape[0] * 9)) ** 0.5  # of kaiming_normal by fan out
    assert abs(float(conv.std()) / deviation - 1) < 0.05

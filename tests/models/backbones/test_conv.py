import pytest
import torch
from torch import nn

from pipeline.models.backbones.conv import ConvBN, Kernel, plain_conv


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (5, 7, 7)])
def test_strides_divide_and_nothing_else_changes_the_size(kernel: Kernel) -> None:
    clip = torch.zeros(2, 3, 8, 12, 16)
    with torch.no_grad():
        assert ConvBN(3, 4, kernel=kernel)(clip).shape == (2, 4, 8, 12, 16)
        assert ConvBN(3, 4, kernel=kernel, stride=2, frame_stride=4)(clip).shape == (2, 4, 2, 6, 8)
        assert plain_conv(3, 4, kernel=kernel, frame_stride=2)(clip).shape == (2, 4, 4, 12, 16)


def test_modules_are_named_as_in_mmaction2() -> None:
    block = ConvBN(3, 4, kernel=(1, 1, 1))
    assert {name for name, _ in block.named_parameters()} == {"conv.weight", "bn.weight", "bn.bias"}
    assert {name for name, _ in plain_conv(3, 4).named_parameters()} == {"conv.weight"}
    assert {name for name, _ in plain_conv(3, 4, bias=True).named_parameters()} == {"conv.weight", "conv.bias"}


def test_only_an_activated_block_cuts_below_zero() -> None:
    torch.manual_seed(0)
    clip = torch.randn(1, 3, 2, 4, 4)
    block = ConvBN(3, 4, kernel=(1, 1, 1), activate=False).eval()
    with torch.no_grad():
        plain = block(clip)
        block.activate = True
        assert plain.min() < 0
        assert torch.equal(block(clip), plain.clamp_min(0))


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_dilation_widens_the_view_and_keeps_the_size(dilation: int) -> None:
    conv = ConvBN(1, 1, kernel=(1, 3, 3), dilation=dilation, activate=False).eval()
    nn.init.ones_(conv.conv.weight)
    point = torch.zeros(1, 1, 1, 9, 9)
    point[..., 4, 4] = 1
    with torch.no_grad():
        seen = conv(point)[0, 0, 0].nonzero().tolist()
    reach = (4 - dilation, 4, 4 + dilation)
    assert seen == [[row, column] for row in reach for column in reach]

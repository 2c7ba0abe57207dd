"""Convolutions whose submodules are named as in MMAction2's `ConvModule`: `conv`, and `bn` where there is a norm.

Shape suffixes of names: B clips, C channels, T frames, H and W pixels (or cells of a feature map).
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

Kernel = tuple[int, int, int]


def _conv3d(inputs: int, outputs: int, kernel: Kernel, *, stride: Kernel, dilation: int, bias: bool) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2 * dilation, kernel[2] // 2 * dilation)
    conv = nn.Conv3d(
        inputs, outputs, kernel, stride=stride, padding=padding, dilation=(1, dilation, dilation), bias=bias
    )
    if not conv.weight.is_meta:  # to draw nothing, PyTorch would import its compiler, which takes seconds
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class ConvBN(nn.Module):
    """Convolution without bias, batch norm and, with `activate`, ReLU; at stride 1 the size is kept."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: Kernel,
        stride: int = 1,
        frame_stride: int = 1,
        dilation: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = _conv3d(
            inputs, outputs, kernel, stride=(frame_stride, stride, stride), dilation=dilation, bias=False
        )
        self.bn = nn.BatchNorm3d(outputs, eps=1e-5, momentum=0.1)
        self.activate = activate

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, inputs, T, H, W] -> [B, outputs, T / frame_stride, H / stride, W / stride]."""
        return self.finish(self.conv(x_BCTHW))

    def finish(self, y_BCTHW: Tensor) -> Tensor:
        """Apply batch norm and ReLU to the convolution's output."""
        y_BCTHW = self.bn(y_BCTHW)
        return F.relu(y_BCTHW, inplace=True) if self.activate else y_BCTHW


def plain_conv(
    inputs: int, outputs: int, *, kernel: Kernel = (1, 1, 1), frame_stride: int = 1, bias: bool = False
) -> nn.Sequential:
    """Build a convolution alone, under the name `conv`."""
    conv = _conv3d(inputs, outputs, kernel, stride=(frame_stride, 1, 1), dilation=1, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv))

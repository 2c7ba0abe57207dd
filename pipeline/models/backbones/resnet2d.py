"""ResNet for single frames (He et al. 2016), with the stride in the 3 x 3 convolution.

Shape suffixes of names: N frames, C channels, H and W pixels, h and w cells of the map.

Module names equal those of MMAction2's `ResNet`, so its keys load unchanged.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.backbones.resnet3d import R50


class FrameConv(nn.Module):
    """Convolution without bias, batch norm and, with `activate`, ReLU; at stride 1 the size is kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, activate: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        if not self.conv.weight.is_meta:
            nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.bn = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)
        self.activate = activate

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        y_NCHW = self.bn(self.conv(x_NCHW))
        return F.relu(y_NCHW, inplace=True) if self.activate else y_NCHW


class FrameBottleneck(nn.Module):
    """Three convolutions (1 x 1, 3 x 3 with the stride, 1 x 1) beside a shortcut."""

    def __init__(self, inputs: int, width: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        outputs = width * expansion
        self.conv1 = FrameConv(inputs, width, 1)
        self.conv2 = FrameConv(width, width, 3, stride=stride)
        self.conv3 = FrameConv(width, outputs, 1, activate=False)
        changes = stride != 1 or inputs != outputs
        self.downsample = FrameConv(inputs, outputs, 1, stride=stride, activate=False) if changes else None

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, width * expansion, H / stride, W / stride]."""
        shortcut = x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        return F.relu(self.conv3(self.conv2(self.conv1(x_NCHW))) + shortcut, inplace=True)


class ResNet2d(nn.Module):
    """A stem of stride 2, a max pool and four stages, each but the first of stride 2.

    Attributes:
        out_channels: channels of the feature map.
        stride: pixels of a frame per cell of the map.
        memory_format: order of the bytes of frames and maps; on the CPU channels_last saves a tenth of the time.
    """

    out_channels: int
    stride: int = 32
    memory_format: torch.memory_format = torch.channels_last

    def __init__(self, blocks: Sequence[int], *, width: int, stem_kernel: int = 7, expansion: int = 4) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            blocks: number of bottlenecks of each of the four stages.
            width: channels of the stem, and inner channels of the first stage; they double from stage to stage.
            stem_kernel: side in pixels of the stem's kernel.
            expansion: ratio of a bottleneck's output channels to its inner channels.
        """
        super().__init__()
        self.conv1 = FrameConv(3, width, stem_kernel, stride=2)
        inputs = width
        layers = []
        for stage, count in enumerate(blocks):
            inner = width << stage
            stage_blocks = []
            for block in range(count):
                stride = 2 if stage and not block else 1
                stage_blocks.append(FrameBottleneck(inputs, inner, stride=stride, expansion=expansion))
                inputs = inner * expansion
            layers.append(nn.Sequential(*stage_blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_channels = inputs

    def forward(self, frames_N3HW: Tensor) -> Tensor:
        """Compute the map of each frame, [N, out_channels, h, w].

        Args:
            frames_N3HW: normalised RGB, float [N, 3, H, W].
        """
        x_NCHW = F.max_pool2d(self.conv1(frames_N3HW.contiguous(memory_format=self.memory_format)), 3, 2, 1)
        maps: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x_NCHW))))
        return maps


def resnet50(width: int = 64) -> ResNet2d:
    """ResNet-50: 2048 channels, stride 32, 23.5 M parameters (torchvision `resnet50`, MMAction2 `ResNet` depth 50)."""
    return ResNet2d(R50, width=width)


def resnet_tiny(width: int = 16) -> ResNet2d:
    """Four bottlenecks, one per stage: 256 channels, stride 32, for clips of 64 to 96 pixels."""
    return ResNet2d((1, 1, 1, 1), width=width, stem_kernel=5, expansion=2)

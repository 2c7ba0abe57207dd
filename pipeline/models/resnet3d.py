"""ResNet-3d with inflated temporal kernels: SlowFast's slow pathway (Feichtenhofer et al. 2019, table 1).

Shape suffixes of names: B clips, C channels, T frames, H and W pixels (or cells of a feature map).

Module names equal those of MMAction2 1.2.0 (`ResNet3dSlowOnly`), so that its keys load after the prefix
`backbone.`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Stage:
    """A run of bottlenecks of one width."""

    blocks: int
    width: int
    "Inner channels; the output has `width * expansion`."
    stride: int
    "Spatial stride of the first block."
    temporal_kernel: int
    "Length in frames of the first convolution of each block: 1 or 3."


class ConvBN(nn.Module):
    """Convolution without bias, batch norm and, where `activate`, ReLU; at stride 1 the size is kept."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: tuple[int, int, int],
        stride: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-5, momentum=0.1)
        self.activate = activate
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, inputs, T, H, W] -> [B, outputs, T, H / stride, W / stride]."""
        y_BCTHW: Tensor = self.bn(self.conv(x_BCTHW))
        return F.relu(y_BCTHW, inplace=True) if self.activate else y_BCTHW


class Bottleneck(nn.Module):
    """Three convolutions (t x 1 x 1, 1 x 3 x 3 with the spatial stride, 1 x 1 x 1) beside a shortcut."""

    def __init__(self, inputs: int, stage: Stage, *, stride: int, expansion: int, zero_init_residual: bool) -> None:
        super().__init__()
        outputs = stage.width * expansion
        self.conv1 = ConvBN(inputs, stage.width, kernel=(stage.temporal_kernel, 1, 1))
        self.conv2 = ConvBN(stage.width, stage.width, kernel=(1, 3, 3), stride=stride)
        self.conv3 = ConvBN(stage.width, outputs, kernel=(1, 1, 1), activate=False)
        self.downsample = (
            ConvBN(inputs, outputs, kernel=(1, 1, 1), stride=stride, activate=False)
            if stride != 1 or inputs != outputs
            else None
        )
        if zero_init_residual:
            nn.init.zeros_(self.conv3.bn.weight)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, inputs, T, H, W] -> [B, width * expansion, T, H / stride, W / stride]."""
        shortcut = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        return F.relu(self.conv3(self.conv2(self.conv1(x_BCTHW))) + shortcut, inplace=True)


class ResNet3d(nn.Module):
    """A stem, a max pool and four stages; nothing strides in time.

    Attributes:
        out_channels: channels of the feature map.
        stride: pixels of the clip per cell of the feature map.
    """

    out_channels: int
    stride: int

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        stem_width: int,
        stem_kernel: int,
        expansion: int = 4,
        zero_init_residual: bool = True,
    ) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            stages: exactly four.
            stem_width: channels of the stem.
            stem_kernel: side in pixels of the stem's 1 x k x k kernel, of stride 2.
            expansion: output channels of a bottleneck over its inner channels.
            zero_init_residual: begin with each bottleneck as its shortcut.
        """
        super().__init__()
        self.conv1 = ConvBN(3, stem_width, kernel=(1, stem_kernel, stem_kernel), stride=2)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.stride = 4
        inputs = stem_width
        layers = []
        for stage in stages:
            blocks = []
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                blocks.append(
                    Bottleneck(
                        inputs,
                        stage,
                        stride=stride,
                        expansion=expansion,
                        zero_init_residual=zero_init_residual,
                    )
                )
                inputs = stage.width * expansion
            layers.append(nn.Sequential(*blocks))
            self.stride *= stage.stride
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_channels = inputs

    def forward(self, clip_B3THW: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of a batch of clips.

        Args:
            clip_B3THW: normalised RGB clips, float [B, 3, T, H, W].

        Returns:
            One map per pathway; here one, [B, out_channels, T, ceil(H / stride), ceil(W / stride)].
        """
        x_BCTHW = self.maxpool(self.conv1(clip_B3THW))
        return (self.layer4(self.layer3(self.layer2(self.layer1(x_BCTHW)))),)


def _slowonly(blocks: tuple[int, int, int, int]) -> ResNet3d:
    # Width, spatial stride and temporal kernel: only the last two stages see neighbouring frames.
    shapes = ((64, 1, 1), (128, 2, 1), (256, 2, 3), (512, 1, 3))
    stages = [Stage(count, *shape) for count, shape in zip(blocks, shapes, strict=True)]
    return ResNet3d(stages, stem_width=64, stem_kernel=7)


def slowonly_r50() -> ResNet3d:
    """SlowOnly ResNet-50: 2048 channels, stride 16 (MMAction2 `slowonly_..._r50_8xb16-4x16x1-20e_ava21`)."""
    return _slowonly((3, 4, 6, 3))


def slowonly_r101() -> ResNet3d:
    """SlowOnly ResNet-101: 2048 channels, stride 16 (MMAction2 `slowonly_..._r101_8xb16-8x8x1-20e_ava21`)."""
    return _slowonly((3, 4, 23, 3))

"""ResNet-3d with inflated temporal kernels: SlowFast's slow pathway (Feichtenhofer et al. 2019, table 1).

Shape suffixes of names: B clips, C channels, T frames, H and W pixels (or cells of a feature map).

Module names equal those of MMAction2 1.2.0 (`ResNet3dSlowOnly`), so its keys load once the prefix `backbone.` is
removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.backbones.conv import ConvBN
from pipeline.models.backbones.non_local import NonLocal
from pipeline.models.pool import FrameMaxPool


@dataclass(frozen=True)
class Stage:
    """A sequence of bottlenecks of one width."""

    blocks: int
    width: int
    "Inner channels; the output has `width * expansion` channels."
    stride: int
    "Spatial stride of the first block."
    temporal_kernel: int
    "Length in frames of the first convolution of each block: 1 or 3."
    dilation: int = 1
    "Spatial dilation of the 1 x 3 x 3 convolutions."
    non_local: tuple[int, ...] = ()
    "Blocks, counted from 0, that end with a non-local block."


class Bottleneck(nn.Module):
    """Three convolutions (t x 1 x 1, 1 x 3 x 3 with the spatial stride, 1 x 1 x 1) beside a shortcut.

    If the block has a non-local block, that follows the sum and its ReLU.
    """

    def __init__(
        self,
        inputs: int,
        stage: Stage,
        *,
        stride: int,
        expansion: int,
        zero_init_residual: bool,
        non_local: bool = False,
    ) -> None:
        super().__init__()
        outputs = stage.width * expansion
        self.conv1 = ConvBN(inputs, stage.width, kernel=(stage.temporal_kernel, 1, 1))
        self.conv2 = ConvBN(stage.width, stage.width, kernel=(1, 3, 3), stride=stride, dilation=stage.dilation)
        self.conv3 = ConvBN(stage.width, outputs, kernel=(1, 1, 1), activate=False)
        self.downsample = (
            ConvBN(inputs, outputs, kernel=(1, 1, 1), stride=stride, activate=False)
            if stride != 1 or inputs != outputs
            else None
        )
        if zero_init_residual:
            nn.init.zeros_(self.conv3.bn.weight)
        self.non_local_block = NonLocal(outputs) if non_local else None

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, inputs, T, H, W] -> [B, width * expansion, T, H / stride, W / stride]."""
        shortcut = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        y_BCTHW = F.relu(self.conv3(self.conv2(self.conv1(x_BCTHW))) + shortcut, inplace=True)
        return y_BCTHW if self.non_local_block is None else self.non_local_block(y_BCTHW)


class ResNet3d(nn.Module):
    """A stem, a max pool and four stages; no layer has a stride in time.

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
        stem_frames: int = 1,
        side_channels: Sequence[int] = (0, 0, 0, 0),
        expansion: int = 4,
        zero_init_residual: bool = True,
    ) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            stages: exactly four.
            stem_width: channels of the stem.
            stem_kernel: side in pixels of the stem's kernel, of stride 2.
            stem_frames: length in frames of the stem's kernel.
            side_channels: channels that another network appends to the input of each stage.
            expansion: ratio of a bottleneck's output channels to its inner channels.
            zero_init_residual: initialise each bottleneck as its shortcut.
        """
        super().__init__()
        self.conv1 = ConvBN(3, stem_width, kernel=(stem_frames, stem_kernel, stem_kernel), stride=2)
        self.maxpool = FrameMaxPool(3, stride=2, padding=1)
        self.stride = 4
        inputs = stem_width
        layers = []
        for stage, side in zip(stages, side_channels, strict=True):
            inputs += side
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
                        non_local=block in stage.non_local,
                    )
                )
                inputs = stage.width * expansion
            layers.append(nn.Sequential(*blocks))
            self.stride *= stage.stride
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_channels = inputs

    def forward(self, clip_B3THW: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps of a batch of clips.

        Args:
            clip_B3THW: normalised RGB clips, float [B, 3, T, H, W].

        Returns:
            One map per pathway; this network has one pathway: [B, out_channels, T, ceil(H / stride), ceil(W / stride)].
        """
        return (self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clip_B3THW))))),)

    def stem(self, clip_B3THW: Tensor) -> Tensor:
        """Compute the input of the first stage, [B, stem_width, T, H / 4, W / 4]."""
        return self.maxpool(self.conv1(clip_B3THW))  # type: ignore[no-any-return]


R50 = (3, 4, 6, 3)
R101 = (3, 4, 23, 3)


def slow_stages(
    blocks: tuple[int, int, int, int],
    *,
    width: int,
    last_dilation: int = 1,
    non_local: Sequence[tuple[int, ...]] = ((), (), (), ()),
) -> list[Stage]:
    """Describe the stages of the slow pathway: only the last two convolve over time; the last keeps the resolution.

    Args:
        blocks: number of blocks of each stage, `R50` or `R101`.
        width: inner channels of the first stage; they double from stage to stage.
        last_dilation: spatial dilation of the last stage.
        non_local: for each stage, the blocks that end with a non-local block.
    """
    shapes = ((width, 1, 1, 1), (2 * width, 2, 1, 1), (4 * width, 2, 3, 1), (8 * width, 1, 3, last_dilation))
    return [Stage(count, *shape, places) for count, shape, places in zip(blocks, shapes, non_local, strict=True)]


def slowonly_r50(width: int = 64) -> ResNet3d:
    """SlowOnly ResNet-50: 2048 channels, stride 16 (MMAction2 `slowonly_..._r50_8xb16-4x16x1-20e_ava21`)."""
    return ResNet3d(slow_stages(R50, width=width), stem_width=width, stem_kernel=7)


def slowonly_r101(width: int = 64) -> ResNet3d:
    """SlowOnly ResNet-101: 2048 channels, stride 16 (MMAction2 `slowonly_..._r101_8xb16-8x8x1-20e_ava21`)."""
    return ResNet3d(slow_stages(R101, width=width), stem_width=width, stem_kernel=7)


def slowonly_r50_nl(width: int = 64) -> ResNet3d:
    """SlowOnly ResNet-50 with five non-local blocks (MMAction2 `slowonly_..._r50-nl_8xb16-4x16x1-20e_ava21`)."""
    stages = slow_stages(R50, width=width, non_local=((), (0, 2), (0, 2, 4), ()))
    return ResNet3d(stages, stem_width=width, stem_kernel=7)


def pyslowfast_slow_r50(width: int = 64) -> ResNet3d:
    """PySlowFast's Slow ResNet-50 for AVA: the last stage is dilated (`configs/AVA/c2/SLOW_8x8_R50.yaml`)."""
    return ResNet3d(slow_stages(R50, width=width, last_dilation=2), stem_width=width, stem_kernel=7)

"""SlowFast: a slow pathway on few frames and a thin fast pathway on all frames (Feichtenhofer et al. 2019).

Shape suffixes of names: B clips, C channels, T frames, H and W pixels (or cells of a feature map).

Module names equal those of MMAction2 1.2.0 (`ResNet3dSlowFast`), so its keys load once `backbone.` is removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.backbones.conv import ConvBN, plain_conv
from pipeline.models.backbones.resnet3d import R50, R101, ResNet3d, Stage, slow_stages

SlowFrames = Literal["stride", "linspace", "middle"]
LATERALS = ("conv1_lateral", "layer1_lateral", "layer2_lateral", "layer3_lateral")


@dataclass(frozen=True, kw_only=True)
class Pathways:
    """How the fast pathway stands to the slow one, and how the slow one is given what the fast one has."""

    alpha: int
    "Frames of the fast pathway per frame of the slow one."
    fusion_kernel: int
    "Frames that a lateral convolution sees."
    beta: int = 8
    "Channels of the slow pathway over those of the fast one."
    fusion_norm: bool = False
    "Batch norm and ReLU after the lateral convolutions, as PySlowFast."
    slow_frames: SlowFrames = "stride"
    """`stride` takes frames 0, alpha, 2 alpha, ... (MMAction2); `linspace` spreads them from the first to the last,
    truncated to whole frames (PySlowFast); `middle` takes every tau-th for tau = alpha * fast_step, from tau // 2 - 1
    on, and in training from a number drawn for each clip in 0 to tau - 1 (AlphAction)."""
    fast_step: int = 1
    "The fast pathway takes every so-manyth frame of the clip."
    fusion_bias: bool = False
    "The lateral convolutions have a bias."


class SlowFast(nn.Module):
    """Two pathways; before each stage, lateral convolutions append the fast pathway's features to the slow one's.

    Attributes:
        out_channels: channels of both pathways' maps together.
        stride: pixels of the clip per cell of the feature maps.
    """

    out_channels: int
    stride: int

    def __init__(
        self,
        stages: Sequence[Stage],
        pathways: Pathways,
        *,
        stem_width: int,
        stem_kernel: int = 7,
        expansion: int = 4,
        zero_init_residual: bool = True,
    ) -> None:
        """Build the network; weights are drawn from torch's global generator.

        Args:
            stages: of the slow pathway, exactly four; the fast one has the same, thinner and with temporal kernels
                of 3 in all.
            pathways: how the fast pathway stands to the slow one.
            stem_width: channels of the slow pathway's stem.
            stem_kernel: side in pixels of the stems' kernels.
            expansion: output channels of a bottleneck over its inner channels.
            zero_init_residual: begin with each bottleneck as its shortcut.
        """
        super().__init__()
        alpha, beta = pathways.alpha, pathways.beta
        self.alpha = alpha
        self.fast_step = pathways.fast_step
        self.slow_frames: SlowFrames = pathways.slow_frames
        fast_stages = [replace(each, width=each.width // beta, temporal_kernel=3, non_local=()) for each in stages]
        fast_channels = [stem_width // beta, *[each.width * expansion for each in fast_stages[:3]]]
        self.slow_path = ResNet3d(
            stages,
            stem_width=stem_width,
            stem_kernel=stem_kernel,
            side_channels=[2 * channels for channels in fast_channels],
            expansion=expansion,
            zero_init_residual=zero_init_residual,
        )
        for name, channels in zip(LATERALS, fast_channels, strict=True):
            # As upstream names them, the lateral convolutions belong to the slow pathway.
            self.slow_path.add_module(name, _lateral(channels, pathways))
        self.fast_path = ResNet3d(
            fast_stages,
            stem_width=stem_width // beta,
            stem_kernel=stem_kernel,
            stem_frames=5,
            expansion=expansion,
            zero_init_residual=zero_init_residual,
        )
        self.out_channels = self.slow_path.out_channels + self.fast_path.out_channels
        self.stride = self.slow_path.stride

    def forward(self, clip_B3THW: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps of a batch of clips.

        Args:
            clip_B3THW: normalised RGB clips, float [B, 3, T, H, W].

        Returns:
            The fast pathway's map [B, C_fast, T / fast_step, h, w], and before it the slow one's [B, C_slow, ...],
            with 1 / alpha of these frames.

        Raises:
            InputError: T is not a multiple of alpha * fast_step.
        """
        slow, fast = self.slow_path, self.fast_path
        slow_BCTHW, fast_BCTHW = (
            path.stem(clip) for path, clip in zip((slow, fast), self.split(clip_B3THW), strict=True)
        )
        for number, lateral in enumerate(LATERALS, start=1):
            side_BCTHW = slow.get_submodule(lateral)(fast_BCTHW)
            slow_BCTHW = slow.get_submodule(f"layer{number}")(torch.cat([slow_BCTHW, side_BCTHW], dim=1))
            fast_BCTHW = fast.get_submodule(f"layer{number}")(fast_BCTHW)
        return slow_BCTHW, fast_BCTHW

    def split(self, clip_B3THW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames of the slow pathway and those of the fast one."""
        return self._slow_clip(clip_B3THW), clip_B3THW[:, :, :: self.fast_step]

    def _slow_clip(self, clip_B3THW: Tensor) -> Tensor:
        frames = clip_B3THW.shape[2]
        step = self.alpha * self.fast_step
        if frames % step or not frames:
            raise InputError(f"a clip has {frames} frames, this SlowFast needs a multiple of {step}")
        if self.slow_frames == "stride":
            return clip_B3THW[:, :, ::step]
        if self.slow_frames == "middle":
            if not self.training:
                return clip_B3THW[:, :, step // 2 - 1 :: step]
            # Drawn on the CPU, so that every device draws the same.
            first_B = torch.randint(step, (len(clip_B3THW),), device="cpu")
            index_BT = (first_B[:, None] + torch.arange(0, frames, step)).to(clip_B3THW.device)
            clip_B = torch.arange(len(clip_B3THW), device=clip_B3THW.device)
            return clip_B3THW.transpose(1, 2)[clip_B[:, None], index_BT].transpose(1, 2)
        # Computed on the CPU, so that every device truncates to the same frames.
        index = torch.linspace(0, frames - 1, frames // step, device="cpu").long()
        return clip_B3THW[:, :, index.to(clip_B3THW.device)]


def _lateral(channels: int, pathways: Pathways) -> nn.Module:
    """Build the convolution that reduces the fast pathway to the slow one's frames and doubles its channels."""
    size = (pathways.fusion_kernel, 1, 1)
    if pathways.fusion_norm:
        return ConvBN(channels, 2 * channels, kernel=size, frame_stride=pathways.alpha)
    return plain_conv(channels, 2 * channels, kernel=size, frame_stride=pathways.alpha, bias=pathways.fusion_bias)


def slowfast_r50_4x16(width: int = 64) -> SlowFast:
    """SlowFast ResNet-50 on clips 32x2, 4 slow frames (MMAction2 `slowfast_..._r50_8xb16-4x16x1-20e_ava21`)."""
    return SlowFast(slow_stages(R50, width=width), Pathways(alpha=8, fusion_kernel=5), stem_width=width)


def slowfast_r50_8x8(width: int = 64) -> SlowFast:
    """SlowFast ResNet-50 on clips 32x2, 8 slow frames (MMAction2 `slowfast_..._r50_8xb8-8x8x1-20e_ava21`)."""
    return SlowFast(slow_stages(R50, width=width), Pathways(alpha=4, fusion_kernel=7), stem_width=width)


def slowfast_r101_8x8(width: int = 64) -> SlowFast:
    """SlowFast ResNet-101 on clips 32x2, 8 slow frames (the depth of the paper's AVA models)."""
    return SlowFast(slow_stages(R101, width=width), Pathways(alpha=4, fusion_kernel=7), stem_width=width)


def _pyslowfast(blocks: tuple[int, int, int, int], width: int, *, alpha: int, fusion_kernel: int) -> SlowFast:
    return SlowFast(
        slow_stages(blocks, width=width, last_dilation=2),
        Pathways(alpha=alpha, fusion_kernel=fusion_kernel, fusion_norm=True, slow_frames="linspace"),
        stem_width=width,
    )


def pyslowfast_slowfast_r50_4x16(width: int = 64) -> SlowFast:
    """PySlowFast's SlowFast ResNet-50 with 4 slow frames of 32, last stage dilated."""
    return _pyslowfast(R50, width, alpha=8, fusion_kernel=5)


def pyslowfast_slowfast_r50_8x8(width: int = 64) -> SlowFast:
    """PySlowFast's SlowFast ResNet-50 with 8 slow frames of 32 (`configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml`)."""
    return _pyslowfast(R50, width, alpha=4, fusion_kernel=7)


def pyslowfast_slowfast_r101_8x8(width: int = 64) -> SlowFast:
    """PySlowFast's SlowFast ResNet-101 with 8 slow frames of 32, fusion kernel 5.

    The published `SLOWFAST_32x2_R101_50_50` also has three non-local blocks of another kind (dot product), so its
    weights do not fit this network.
    """
    return _pyslowfast(R101, width, alpha=4, fusion_kernel=5)


def acar_slowfast_r101_8x8(width: int = 64) -> SlowFast:
    """ACAR-Net's SlowFast ResNet-101 with 8 slow frames of 32, last stage dilated; its R50 is PySlowFast's."""
    stages = slow_stages(R101, width=width, last_dilation=2)
    return SlowFast(stages, Pathways(alpha=4, fusion_kernel=5), stem_width=width)

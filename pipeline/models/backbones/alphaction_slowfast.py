"""AlphAction's SlowFasts: frozen norms, an unpadded max pool, lateral convolutions with a bias and no norm.

Shape suffixes of names: B clips, C channels, T frames, H and W pixels (or cells of a feature map).
"""

import torch
from torch import Tensor, nn

from pipeline.models.backbones.resnet3d import R50, R101, Bottleneck, slow_stages
from pipeline.models.backbones.slowfast import Pathways, SlowFast
from pipeline.models.pool import FrameMaxPool


class FrozenNorm(nn.Module):
    """A batch norm whose scale, bias and statistics are buffers: nothing trains them, and no batch changes them."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Shift and scale each channel; the shape is kept."""
        # In upstream's order, and so with its rounding: a training enlarges differences from step to step.
        scale_C = self.weight / (self.running_var + self.eps).sqrt()
        shift_C = self.bias - self.running_mean * scale_C
        y_BCTHW = x_BCTHW * scale_C.view(1, -1, 1, 1, 1) + shift_C.view(1, -1, 1, 1, 1)
        return y_BCTHW.to(x_BCTHW.dtype)  # in half precision too


def freeze_norms(network: nn.Module) -> None:
    """Put a `FrozenNorm` in the place of every batch norm of a network."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm3d):
                setattr(module, name, FrozenNorm(child.num_features, eps=child.eps))


def alphaction_slowfast(blocks: tuple[int, int, int, int], width: int, pathways: Pathways) -> SlowFast:
    """Build a SlowFast as AlphAction's, with the last stage dilated.

    Each bottleneck begins as its shortcut, by the weights of its last convolution: the scale of a frozen norm would
    stay at zero.
    """
    stages = slow_stages(blocks, width=width, last_dilation=2)
    network = SlowFast(stages, pathways, stem_width=width, zero_init_residual=False)
    freeze_norms(network)
    for module in network.modules():
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.conv3.conv.weight)
    for path in (network.slow_path, network.fast_path):
        path.maxpool = FrameMaxPool(3, stride=2)
    return network


def alphaction_pathways(*, tau: int, alpha: int, beta: int = 8) -> Pathways:
    """Say how AlphAction's pathways stand to each other.

    Args:
        tau: frames of the clip per frame of the slow pathway, a multiple of alpha.
        alpha: frames of the fast pathway per frame of the slow one.
        beta: channels of the slow pathway over those of the fast one.
    """
    return Pathways(
        alpha=alpha, beta=beta, fast_step=tau // alpha, fusion_kernel=5, fusion_bias=True, slow_frames="middle"
    )


def alphaction_slowfast_r50_4x16(width: int = 64) -> SlowFast:
    """AlphAction's SlowFast ResNet-50 on clips 64x1, 4 slow and 32 fast frames (`resnet50_4x16f_*`)."""
    return alphaction_slowfast(R50, width, alphaction_pathways(tau=16, alpha=8))


def alphaction_slowfast_r101_8x8(width: int = 64) -> SlowFast:
    """AlphAction's SlowFast ResNet-101 on clips 64x1, 8 slow and 32 fast frames (`resnet101_8x8f_*`)."""
    return alphaction_slowfast(R101, width, alphaction_pathways(tau=8, alpha=4))

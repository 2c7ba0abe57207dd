"""Backbones small enough to train in minutes on two CPU cores."""

from pipeline.models.backbones.resnet3d import ResNet3d, Stage
from pipeline.models.backbones.slowfast import Pathways, SlowFast


def _stages(width: int) -> list[Stage]:
    return [Stage(1, width, 1, 1), Stage(1, 2 * width, 2, 1), Stage(1, 3 * width, 1, 3), Stage(1, 4 * width, 1, 3)]


def slowonly_tiny(width: int = 16) -> ResNet3d:
    """Four bottlenecks, one per stage: 128 channels, stride 8, 0.14 M parameters.

    The stride is 8 instead of 16, because persons are about 20 to 40 pixels wide in frames of 96 lines.
    """
    # Zero-initialised residuals stabilise long chains of blocks. With one block per stage they only delay learning.
    return ResNet3d(_stages(width), stem_width=width, stem_kernel=5, expansion=2, zero_init_residual=False)


def slowfast_tiny(width: int = 16) -> SlowFast:
    """`slowonly_tiny` and a fast pathway with a quarter of its channels and four times its frames: 160 channels."""
    return SlowFast(
        _stages(width),
        Pathways(alpha=4, fusion_kernel=5, beta=4),
        stem_width=width,
        stem_kernel=5,
        expansion=2,
        zero_init_residual=False,
    )

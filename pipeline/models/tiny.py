"""A SlowOnly small enough to train in a minute or two on two CPU cores."""

from pipeline.models.resnet3d import ResNet3d, Stage


def slowonly_tiny() -> ResNet3d:
    """Four bottlenecks, one per stage: 128 channels, stride 8, 0.14 M parameters.

    Stride 8 instead of 16, since figures are some 20 to 40 pixels wide in frames of 96 lines.
    """
    stages = [Stage(1, 16, 1, 1), Stage(1, 32, 2, 1), Stage(1, 48, 1, 3), Stage(1, 64, 1, 3)]
    # With one block per stage there is no long chain of residuals to calm: starting them at zero only delays learning.
    return ResNet3d(stages, stem_width=16, stem_kernel=5, expansion=2, zero_init_residual=False)

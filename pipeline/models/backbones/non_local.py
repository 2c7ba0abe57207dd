"""The embedded-Gaussian non-local block (Wang et al. 2018, section 3.2).

Shape suffixes of names: B clips, C channels, T frames, H and W cells of a map, N queries, M keys, d inner channels.

Module names equal those of MMAction2 1.2.0 (mmcv `NonLocal3d` with `sub_sample` and `use_scale`).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.backbones.conv import ConvBN, plain_conv
from pipeline.models.pool import FrameMaxPool


class NonLocal(nn.Module):
    """Each cell of each frame attends to all cells (pooled by 2 x 2) and adds the result to itself.

    The block starts as the identity, as in the paper (section 4.1): the scale of the last batch norm is 0, and the
    other weights are normal with deviation 0.01. The published models start from Kinetics classifiers with these
    blocks.
    """

    def __init__(self, channels: int) -> None:
        """Build the block; the inner channels are half of `channels`."""
        super().__init__()
        inner = channels // 2
        pool = FrameMaxPool(2, stride=2)
        self.g = nn.Sequential(plain_conv(channels, inner, bias=True), pool)
        self.conv_out = ConvBN(inner, channels, kernel=(1, 1, 1), activate=False)
        self.theta = plain_conv(channels, inner, bias=True)
        self.phi = nn.Sequential(plain_conv(channels, inner, bias=True), pool)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                if not module.weight.is_meta:  # see `_conv3d`
                    nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.conv_out.bn.weight)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape; H and W are at least 2."""
        query_BNd = _cells(self.theta(x_BCTHW))
        key_BMd = _cells(self.phi(x_BCTHW))
        value_BMd = _cells(self.g(x_BCTHW))
        # One head: softmax(query . key / sqrt(d)) . value. A fused kernel, if available, stores no N x M scores.
        found_BNd = F.scaled_dot_product_attention(query_BNd[:, None], key_BMd[:, None], value_BMd[:, None])[:, 0]
        found_BdTHW = found_BNd.transpose(1, 2).reshape(x_BCTHW.shape[0], -1, *x_BCTHW.shape[2:])
        out_BCTHW: Tensor = self.conv_out(found_BdTHW)
        return x_BCTHW + out_BCTHW


def _cells(x_BCTHW: Tensor) -> Tensor:
    """[B, C, T, H, W] -> [B, T * H * W, C]."""
    return x_BCTHW.flatten(2).transpose(1, 2)

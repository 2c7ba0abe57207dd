"""Parts that transformer backbones share, and what a training asks of such a backbone (`Layered`).

Shape suffixes of names: B clips, N tokens, C channels.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@runtime_checkable
class Layered(Protocol):
    """A backbone of blocks in a chain, whose parameters a training may treat by their depth."""

    layers: int
    "Number of blocks."
    recompute: bool
    "Whether blocks keep no inner activations in training and compute them again in the backward pass (`run_block`)."

    def layer_of(self, name: str) -> int:
        """Return the depth of a parameter by its name within the backbone.

        0 is what makes the tokens, 1 to `layers` are the blocks, and `layers` + 1 is what follows them.
        """

    def set_drop_path(self, rate: float) -> None:
        """Set the rate of `drop_path` of the last block; the rates rise evenly from 0 in the first block.

        A new backbone has rate 0. Evaluation does not depend on it.
        """


def drop_path(branch_BNC: Tensor, rate: float, *, training: bool) -> Tensor:
    """Drop the whole branch of a residual block for a share of the clips (stochastic depth), in training only.

    Args:
        branch_BNC: result of the branch; axes behind the first may be any.
        rate: probability that a clip loses the branch. The others' is divided by 1 - rate, so that its mean stays.
        training: False returns the branch unchanged.
    """
    if not training or not rate:
        return branch_BNC
    shape = (branch_BNC.shape[0], *[1] * (branch_BNC.dim() - 1))
    kept = torch.empty(shape, dtype=branch_BNC.dtype, device=branch_BNC.device).bernoulli_(1 - rate)
    return branch_BNC * (kept / (1 - rate))


def even_rates(rate: float, blocks: int) -> list[float]:
    """Return the rate of each block: from 0 in the first to `rate` in the last, in even steps."""
    return [rate * number / max(blocks - 1, 1) for number in range(blocks)]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        y_BNC: Tensor = self.fc2(F.gelu(self.fc1(x_BNC)))
        return y_BNC


def attend(qkv_BN3C: Tensor, heads: int) -> Tensor:
    """Let every token look at all tokens of its clip.

    Args:
        qkv_BN3C: queries, keys and values of all heads, one after the other, [B, N, 3 C].
        heads: number of heads; divides C.

    Returns:
        [B, N, C], the heads one after the other.
    """
    clips, tokens, _ = qkv_BN3C.shape
    parts = qkv_BN3C.chunk(3, dim=2)
    query, key, value = (each.view(clips, tokens, heads, -1).transpose(1, 2) for each in parts)
    seen = F.scaled_dot_product_attention(query, key, value)
    return seen.transpose(1, 2).reshape(clips, tokens, -1)


def run_block(block: Callable[[Tensor], Tensor], x_BNC: Tensor, *, recompute: bool) -> Tensor:
    """Apply a block; with `recompute` only its input is kept for the backward pass, which computes the block again.

    Random draws are repeated, so that no gradient changes by a bit. Without gradients there is nothing to keep.
    """
    if not recompute or not torch.is_grad_enabled():
        return block(x_BNC)
    from torch.utils.checkpoint import checkpoint

    y_BNC: Tensor = checkpoint(block, x_BNC, use_reentrant=False)
    return y_BNC


def init_linear(module: nn.Module) -> None:
    """Draw weights of linear layers from a truncated normal of deviation 0.02, with biases of 0, as ViTs begin."""
    for each in module.modules():
        if isinstance(each, nn.Linear) and not each.weight.is_meta:
            nn.init.trunc_normal_(each.weight, std=0.02)
            if each.bias is not None:
                nn.init.zeros_(each.bias)

"""Hiera in the plainest PyTorch: functions of a state dict with upstream's names, and upstream's order of tokens.

Upstream unrolls: the place of a token within its mask unit comes first, level by level, and the unit last, so that
pooling is a maximum over a leading axis of 4, and the tokens of a unit lie as far apart as there are units. Attention
is two matrix products around a softmax. Nothing of `pipeline.models` is used: tests compare their numbers with these,
and `benchmarks/hiera.py` their cost.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
LEVELS = 3


@dataclass(frozen=True)
class Sizes:
    """What a state dict does not show, and the size of the clips that it is for."""

    blocks: tuple[int, int, int, int]
    width: int
    heads: int
    slices: int
    rows: int
    columns: int
    "Tokens of the first stage."


def shapes(sizes: Sizes, classes: int) -> dict[str, list[int]]:
    """Keys and shapes of a state dict, in upstream's order."""
    found = {
        "pos_embed_spatial": [1, sizes.rows * sizes.columns, sizes.width],
        "pos_embed_temporal": [1, sizes.slices, sizes.width],
        "patch_embed.proj.weight": [sizes.width, 3, 3, 7, 7],
        "patch_embed.proj.bias": [sizes.width],
    }

    def linear(name: str, outputs: int, inputs: int) -> None:
        found.update({f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]})

    def norm(name: str, channels: int) -> None:
        found.update({f"{name}.weight": [channels], f"{name}.bias": [channels]})

    for block, (inputs, outputs, *_) in enumerate(block_dims(sizes)):
        name = f"blocks.{block}"
        norm(f"{name}.norm1", inputs)
        linear(f"{name}.attn.qkv", 3 * outputs, inputs)
        linear(f"{name}.attn.proj", outputs, outputs)
        norm(f"{name}.norm2", outputs)
        linear(f"{name}.mlp.fc1", 4 * outputs, outputs)
        linear(f"{name}.mlp.fc2", outputs, 4 * outputs)
        if inputs != outputs:
            linear(f"{name}.proj", outputs, inputs)
    norm("norm", 8 * sizes.width)
    linear("head.projection", classes, 8 * sizes.width)
    return found


def block_dims(sizes: Sizes) -> list[list[Any]]:
    """Channels in and out, heads, pooled tokens, tokens of a unit behind the block, attention within units."""
    starts = [sum(sizes.blocks[:stage]) for stage in (1, 2, 3)]
    dims, channels, heads, window, within, next_within = [], sizes.width, sizes.heads, 64, True, True
    for block in range(sum(sizes.blocks)):
        inputs, pooled = channels, 1
        if block in starts:
            channels, heads, window, pooled = 2 * channels, 2 * heads, window // 4, 4
            next_within = starts.index(block) < 1
        dims.append([inputs, channels, heads, pooled, window, within])
        within = next_within
    return dims


def unroll(x: Tensor) -> Tensor:
    """[B, T, h, w, C] -> [B, L, C] in upstream's order."""
    clips, slices, rows, columns, channels = x.shape
    for _ in range(LEVELS):
        rows, columns = rows // 2, columns // 2
        x = x.reshape(-1, slices, rows, 2, columns, 2, channels).permute(0, 3, 5, 1, 2, 4, 6)
        x = x.reshape(-1, slices, rows, columns, channels)
    return x.reshape(clips, -1, channels)


def reroll(x: Tensor, level: int, sizes: Sizes) -> Tensor:
    """The way back, for tokens that were pooled `level` times: [B, L, C] -> [B, T, h, w, C]."""
    clips, channels = len(x), x.shape[2]
    rows, columns = sizes.rows >> LEVELS, sizes.columns >> LEVELS
    left = LEVELS - level
    x = x.reshape(clips * 4**left, sizes.slices, rows, columns, channels)
    for _ in range(left):
        x = x.reshape(-1, 2, 2, sizes.slices, rows, columns, channels).permute(0, 3, 4, 1, 5, 2, 6)
        rows, columns = rows * 2, columns * 2
        x = x.reshape(-1, sizes.slices, rows, columns, channels)
    return x


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def attention(state: State, name: str, x: Tensor, dims: list[Any]) -> Tensor:
    _, channels, heads, pooled, window, within = dims
    clips, tokens, _ = x.shape
    units = tokens // (pooled * window) if within else 1
    qkv = linear(state, f"{name}.qkv", x).reshape(clips, -1, units, 3, heads, channels // heads)
    query, key, value = qkv.permute(3, 0, 4, 2, 1, 5)
    if pooled > 1:
        query = query.reshape(clips, heads, units, pooled, -1, channels // heads).max(3).values
    weights = (query @ key.transpose(3, 4) / math.sqrt(channels // heads)).softmax(4)
    return linear(state, f"{name}.proj", (weights @ value).transpose(1, 3).reshape(clips, -1, channels))


def block(state: State, name: str, x: Tensor, dims: list[Any]) -> Tensor:
    inputs, channels, _, pooled, *_ = dims
    normed = norm(state, f"{name}.norm1", x)
    if inputs != channels:
        x = linear(state, f"{name}.proj", normed)
        x = x.reshape(len(x), pooled, -1, channels).max(1).values
    x = x + attention(state, f"{name}.attn", normed, dims)
    y = linear(state, f"{name}.mlp.fc1", norm(state, f"{name}.norm2", x))
    return x + linear(state, f"{name}.mlp.fc2", F.gelu(y))


def stages(state: State, sizes: Sizes, clip: Tensor) -> list[Tensor]:
    """The map of each stage, [B, T, h, w, C], without a norm, of clips of the size that the tables are for."""
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    x = F.conv3d(clip, weight, bias, stride=(2, 4, 4), padding=(1, 3, 3)).flatten(2).transpose(1, 2)
    times = state["pos_embed_temporal"].repeat_interleave(sizes.rows * sizes.columns, dim=1)
    x = x + state["pos_embed_spatial"].repeat(1, sizes.slices, 1) + times
    x = unroll(x.reshape(len(clip), sizes.slices, sizes.rows, sizes.columns, -1))
    found: list[Tensor] = []
    for number, dims in enumerate(block_dims(sizes)):
        x = block(state, f"blocks.{number}", x, dims)
        if number + 1 in [sum(sizes.blocks[: stage + 1]) for stage in range(4)]:
            found.append(reroll(x, len(found), sizes))
    return found


def logits(state: State, last: Tensor) -> Tensor:
    """The classifier's logits of the map of the last stage."""
    return linear(state, "head.projection", norm(state, "norm", last.flatten(1, 3).mean(1)))

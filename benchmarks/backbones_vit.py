"""Measure VideoMAE's ViT-B: a training step against transformers, and the forward pass against plain attention.

    python -m benchmarks.backbones_vit [--side 112] [--forward 256] [--repeats 3]

All sides have the same weights and the same clip of 16 frames, and run on one thread: the smallest CPU seconds of the
repeats, in which the sides take turns; and, each in a process of its own, the largest resident memory of one pass above
that of the process with its weights.
transformers is optional: `pip install transformers`.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measuring import apart, peak_mib
from pipeline.models.backbones.videomae import VideoMae

FRAMES = 16
SIDES = {
    "train": ("ours", "ours, recomputed", "transformers"),
    "forward": ("ours", "plain attention"),
}


def network(side: int, **shape: Any) -> VideoMae:
    """ViT-B (or another shape) whose position table is of this side, so that nothing is resized."""
    torch.manual_seed(0)
    cells = side // 16
    return VideoMae(**{"width": 768, "depth": 12, "heads": 12, "grid": (cells, cells), **shape})


def plain_forward(model: VideoMae, clip: Tensor) -> Tensor:
    """MMAction2's arithmetic: the same layers, the weights of attention written out."""
    x = model.patch_embed(clip) + model.pos_embed
    for block in model.blocks:
        attention: Any = block.attn
        bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
        seen = F.linear(block.norm1(x), attention.qkv.weight, bias)  # type: ignore[operator]
        query, key, value = seen.reshape(*seen.shape[:2], 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).softmax(dim=-1)
        x = x + attention.proj((weights @ value).transpose(1, 2).reshape(x.shape))
        x = x + block.mlp(block.norm2(x))  # type: ignore[operator]
    found: Tensor = model.norm(x)
    return found


def transformers_model(model: VideoMae, side: int) -> nn.Module:
    """VideoMAEModel of transformers with the weights of ours; neither has dropout."""
    from transformers import VideoMAEConfig, VideoMAEModel

    width, hidden = model.out_channels, len(model.get_parameter("blocks.0.mlp.fc1.bias"))
    config = VideoMAEConfig(
        image_size=side,
        hidden_size=width,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        intermediate_size=hidden,
        use_mean_pooling=False,
        layer_norm_eps=1e-6,
    )
    theirs: nn.Module = VideoMAEModel(config)
    own, state = model.state_dict(), theirs.state_dict()
    names = {
        "layernorm_before": "norm1", "layernorm_after": "norm2", "attention.output.dense": "attn.proj",
        "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2", "attention.attention.q_bias": "attn.q_bias",
        "attention.attention.v_bias": "attn.v_bias", "attention.attention.query.bias": "attn.q_bias",
        "attention.attention.value.bias": "attn.v_bias",
    }  # fmt: skip
    for key in state:
        place, _, rest = key.removeprefix("encoder.layer.").partition(".")
        part = next((each for each in names if rest.startswith(each)), None)
        if key.startswith("embeddings."):
            state[key] = own[f"patch_embed.projection.{key.rpartition('.')[2]}"]
        elif key.startswith("layernorm."):
            state[key] = own[f"norm.{key.rpartition('.')[2]}"]
        elif part:
            state[key] = own[f"blocks.{place}.{names[part]}{rest.removeprefix(part)}"]
        else:
            number = ("query", "key", "value").index(rest.split(".")[2])
            state[key] = own[f"blocks.{place}.attn.qkv.weight"].chunk(3)[number]
    theirs.load_state_dict(state)
    return theirs


def forward_of(case: str, side: int, **shape: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The network of a side, and what gives its tokens, [clips, tokens, channels]."""
    model = network(side, **shape)
    if case == "transformers":
        theirs = transformers_model(model, side)
        return theirs, lambda clip: theirs(clip.transpose(1, 2)).last_hidden_state
    if case == "plain attention":
        return model, partial(plain_forward, model)
    model.recompute = case == "ours, recomputed"
    return model, lambda clip: model(clip)[0].flatten(2).transpose(1, 2)


def step(model: nn.Module, forward: Callable[[Tensor], Tensor], clip: Tensor, trains: bool) -> float:
    """Run a pass, with its gradients if it trains, and return its CPU seconds."""
    model.train(trains).zero_grad()
    begin = time.process_time()
    with torch.set_grad_enabled(trains):
        found = forward(clip)
        if trains:
            found.square().mean().backward()
    return time.process_time() - begin


def seconds_of(cases: Sequence[str], side: int, trains: bool, repeats: int) -> dict[str, float]:
    """The smallest CPU seconds of each side, which take turns in one process."""
    torch.set_num_threads(1)
    sides, clip = {case: forward_of(case, side) for case in cases}, torch.randn(1, 3, FRAMES, side, side)
    found = [{case: step(*each, clip, trains) for case, each in sides.items()} for _ in range(repeats)]
    return {case: min(each[case] for each in found) for case in cases}


def added_mib(case: str, side: int, trains: bool) -> float:
    """What a pass adds to the resident memory of a process with the weights, at most; Linux only."""
    import_module("torch.utils.checkpoint")  # brings PyTorch's compiler, which is no memory of the pass

    torch.set_num_threads(1)
    model, forward = forward_of(case, side)
    clip = torch.randn(1, 3, FRAMES, side, side)
    Path("/proc/self/clear_refs").write_text("5")  # the largest resident memory is counted anew
    started = peak_mib()
    step(model, forward, clip, trains)
    return peak_mib() - started


def main() -> None:
    """Measure all sides, and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=112, help="of the clips of a training step")
    parser.add_argument("--forward", type=int, default=256, help="side of the clip of a forward pass")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for kind, side in (("train", arguments.side), ("forward", arguments.forward)):
        print(f"\n{kind}, 16 x {side} x {side}, one clip\n\n| | CPU s | MiB |\n|---|---|---|")
        seconds = apart(seconds_of, SIDES[kind], side, kind == "train", arguments.repeats)
        for case in SIDES[kind]:
            print(f"| {case} | {seconds[case]:.2f} | {apart(added_mib, case, side, kind == 'train'):.0f} |", flush=True)


if __name__ == "__main__":
    main()

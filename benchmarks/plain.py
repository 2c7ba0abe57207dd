"""Write MMAction2's networks in the plainest PyTorch: functions of a state dict and a configuration of upstream.

It uses nothing of `pipeline.models`: tests compare their numbers with these, and `benchmarks/models.py` their cost.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class State(dict[str, Tensor]):
    """A state dict with upstream's names; `training` lets batch norms take and update their statistics."""

    training = False


def conv_bn(state: State, name: str, x: Tensor, *, relu: bool = True, **settings: Any) -> Tensor:
    x = F.conv3d(x, state[f"{name}.conv.weight"], state.get(f"{name}.conv.bias"), **settings)
    if f"{name}.bn.weight" in state:
        bn: Any = {part: state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")}
        x = F.batch_norm(x, **bn, training=state.training, eps=1e-5)
    return F.relu(x) if relu else x


def non_local(state: State, name: str, x: Tensor) -> Tensor:
    theta = conv_bn(state, f"{name}.theta", x, relu=False).flatten(2)
    phi = F.max_pool3d(conv_bn(state, f"{name}.phi.0", x, relu=False), (1, 2, 2)).flatten(2)
    g = F.max_pool3d(conv_bn(state, f"{name}.g.0", x, relu=False), (1, 2, 2)).flatten(2)
    weights = (theta.transpose(1, 2) @ phi / math.sqrt(theta.shape[1])).softmax(dim=2)
    found = (g @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
    return x + conv_bn(state, f"{name}.conv_out", found, relu=False)


def bottleneck(state: State, name: str, x: Tensor, *, stride: int, dilation: int, non_local_here: bool) -> Tensor:
    frames = state[f"{name}.conv1.conv.weight"].shape[2]
    y = conv_bn(state, f"{name}.conv1", x, padding=(frames // 2, 0, 0))
    y = conv_bn(
        state, f"{name}.conv2", y,
        stride=(1, stride, stride), padding=(0, dilation, dilation), dilation=(1, dilation, dilation),
    )  # fmt: skip
    y = conv_bn(state, f"{name}.conv3", y, relu=False)
    if f"{name}.downsample.conv.weight" in state:
        x = conv_bn(state, f"{name}.downsample", x, relu=False, stride=(1, stride, stride))
    y = F.relu(x + y)
    return non_local(state, f"{name}.non_local_block", y) if non_local_here else y


def stem(state: State, name: str, x: Tensor, padding: int = 1) -> Tensor:
    kernel = state[f"{name}.conv1.conv.weight"].shape[2:]
    x = conv_bn(state, f"{name}.conv1", x, stride=(1, 2, 2), padding=tuple(size // 2 for size in kernel))
    return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, padding, padding))


def stage(state: State, name: str, hyper: dict[str, Any], number: int, x: Tensor) -> Tensor:
    local = hyper["non_local_stages"][number]
    for block in range(hyper["stage_blocks"][number]):
        x = bottleneck(
            state,
            f"{name}.layer{number + 1}.{block}",
            x,
            stride=hyper["spatial_strides"][number] if block == 0 else 1,
            dilation=hyper["dilations"][number],
            non_local_here=bool(local if isinstance(local, int) else local[block]),
        )
    return x


def backbone(state: State, hyper: dict[str, Any], clip: Tensor) -> list[Tensor]:
    if hyper["backbone_type"] == "ResNet3dSlowOnly":
        x = stem(state, "backbone", clip)
        for number in range(4):
            x = stage(state, "backbone", hyper["backbone"], number, x)
        return [x]
    tau, alpha = hyper["resample_rate"], hyper["speed_ratio"]
    picked = hyper.get("slow_frames") or list(range(0, clip.shape[2], tau))
    padding = hyper.get("pool_padding", 1)
    slow = stem(state, "backbone.slow_path", clip[:, :, picked], padding)
    fast = stem(state, "backbone.fast_path", clip[:, :, :: tau // alpha], padding)
    for number in range(4):
        name = f"backbone.slow_path.{'conv1' if number == 0 else f'layer{number}'}_lateral"
        kernel = state[f"{name}.conv.weight"].shape[2]
        norm = f"{name}.bn.weight" in state
        side = conv_bn(state, name, fast, relu=norm, stride=(alpha, 1, 1), padding=(kernel // 2, 0, 0))
        slow = stage(state, "backbone.slow_path", hyper["slow_path"], number, torch.cat([slow, side], dim=1))
        fast = stage(state, "backbone.fast_path", hyper["fast_path"], number, fast)
    return [slow, fast]


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"].flatten(1), state[f"{name}.bias"])


def fbo(state: State, shared: dict[str, Any], person: Tensor, window: Tensor) -> Tensor:
    """[R, C] and [R, L, C_bank] -> [R, C + ...]; every person has a window of its own."""
    if shared["fbo"] == "FBOAvg":
        return torch.cat([person, window.mean(dim=1)], dim=1)
    if shared["fbo"] == "FBOMax":
        return torch.cat([person, window.amax(dim=1)], dim=1)
    name = "roi_head.shared_head.fbo"
    query, bank = linear(state, f"{name}.st_feat_conv", person), linear(state, f"{name}.lt_feat_conv", window)
    for layer in range(1, shared["fbo_cfg"]["num_non_local_layers"] + 1):
        at = f"{name}.non_local_layer_{layer}"
        theta, phi = linear(state, f"{at}.st_feat_conv.conv", query), linear(state, f"{at}.lt_feat_conv.conv", bank)
        scores = theta[:, None] @ phi.transpose(1, 2) / math.sqrt(theta.shape[1])
        found = (scores.softmax(dim=2) @ linear(state, f"{at}.global_conv.conv", bank))[:, 0]
        scale, shift = state[f"{at}.ln.weight"].flatten(), state[f"{at}.ln.bias"].flatten()
        found = F.relu(F.layer_norm(found, found.shape[1:], scale, shift, 1e-5))
        query = query + linear(state, f"{at}.out_conv.conv", found)
    return torch.cat([person, query], dim=1)


def acrn(state: State, shared: dict[str, Any], roi: Tensor, feature: Tensor, clip_index: Tensor) -> Tensor:
    name = "roi_head.shared_head"
    height, width = feature.shape[-2:]
    person = roi.amax(dim=(3, 4), keepdim=True).expand(-1, -1, 1, height, width)
    x = conv_bn(state, f"{name}.conv1", torch.cat([person, feature[clip_index]], dim=1))
    x = conv_bn(state, f"{name}.conv2", x, padding=(0, 1, 1))
    for number in range(shared["num_convs"] - 1):
        x = conv_bn(state, f"{name}.convs.{number}", x, padding=(0, 1, 1))
    return x

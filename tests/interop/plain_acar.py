"""ACAR-Net's head written out plainly, with upstream's names of weights: everything is tiled, loops go over pairs.

`acar_fixture` writes fixtures of small heads whose numbers come from here.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.interop.fixtures import rule_weight
from pipeline.models.roi_align import roi_align

ROIS = [[0, 0.1, 0.1, 0.5, 0.9], [2, 0.4, 0.2, 0.95, 0.9], [2, 0.02, 0.03, 0.3, 0.6], [2, 0.0, 0.0, 1.0, 1.0]]
IDS = [0, 1, 1, 4]
Weights = Mapping[str, Tensor]


def plain_higher(x: Tensor, weights: Weights, name: str) -> Tensor:
    """One layer of attention between the persons of an image, [n, d, y, x]."""
    q, k, v = (F.conv2d(x, weights[f"{name}.conv_{each}.weight"], padding=1) for each in "qkv")
    rows = []
    for i in range(len(x)):
        products = torch.stack([(q[i] * k[j]).sum(0) for j in range(len(x))]) / math.sqrt(x.shape[1])
        shares = products.exp() / products.exp().sum(0)
        rows.append(torch.stack([shares[j] * v[j] for j in range(len(x))]).sum(0))
    read = F.group_norm(torch.stack(rows), 1, weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"], 1e-5)
    last = weights[f"{name}.conv.weight"]
    return x + F.conv2d(F.relu(read), last, padding=last.shape[-1] // 2)


def plain_image(map_chw: Tensor, persons_nc: Tensor, weights: Weights, *, downsample: str) -> dict[str, Tensor]:
    """The relations of the persons of one image, with what lies between."""
    n, (height, width) = len(persons_nc), map_chw.shape[1:]
    actor = persons_nc[:, :, None, None].expand(-1, -1, height, width)
    both = torch.cat([map_chw.expand(n, -1, -1, -1), actor], dim=1)
    seen = {"conv2": F.conv2d(F.relu(F.conv2d(both, weights["conv1.weight"])), weights["conv2.weight"])}
    x = F.relu(seen["conv2"])
    x = seen["down"] = F.max_pool2d(x, 3, 2, 1) if downsample == "max2x2" else x
    for number in range(sum(key.endswith("conv_q.weight") for key in weights)):
        x = seen[f"hr2o{number}"] = plain_higher(x, weights, f"hr2o.{number}")
    return {**seen, "gap": x.mean(dim=(2, 3), keepdim=True)}


def plain_head(
    maps: Tensor, rois_n5: Tensor, weights: Weights, *, size: int, downsample: str, shares_wh: Any = None
) -> dict[str, Tensor | list[Tensor]]:
    """Logits of RoIs in shares of the padded map, with what lies between; RoIs in order of their image."""
    reduced = F.conv2d(maps, weights["conv_reduce.weight"])
    height, width = maps.shape[2:]
    scaled = rois_n5 * torch.tensor([1, width, height, width, height]).to(rois_n5)
    actor = roi_align(reduced, scaled, size, spatial_scale=1, sampling_ratio=0, aligned=False).flatten(2).amax(2)
    index = rois_n5[:, 0].long()
    images: list[dict[str, Tensor]] = []
    for image in sorted(set(index.tolist())):
        w, h = shares_wh[image] if shares_wh else (1, 1)
        part = reduced[image, :, : math.ceil(height * h), : math.ceil(width * w)]
        images.append(plain_image(part, actor[index == image], weights, downsample=downsample))
    relation = torch.cat([each["gap"].flatten(1) for each in images])
    logits = torch.cat([F.relu(actor @ weights["fc1.weight"].T), relation], dim=1) @ weights["fc2.weight"].T
    lists = {name: [each[name] for each in images] for name in images[0]}
    return {**lists, "reduced": reduced, "actor": actor, "logits": logits}


def head_keys(*, width: int, reduced: int, hidden: int, classes: int, depth: int, kernel: int) -> dict[str, list[int]]:
    """Upstream's keys and shapes."""
    keys = {
        "conv_reduce.weight": [reduced, width, 1, 1], "conv1.weight": [hidden, 2 * reduced, 1, 1],
        "conv2.weight": [hidden, hidden, 3, 3],
    }  # fmt: skip
    for number in range(depth):
        keys |= {f"hr2o.{number}.conv_{each}.weight": [hidden, hidden, 3, 3] for each in "qkv"}
        keys |= {f"hr2o.{number}.conv.weight": [hidden, hidden, kernel, kernel]}
        keys |= {f"hr2o.{number}.norm.{each}": [hidden] for each in ("weight", "bias")}
    return {**keys, "fc1.weight": [hidden, reduced], "fc2.weight": [classes, 2 * hidden]}


def head_case(
    seed: int, *, depth: int, mlp_1x1: bool, downsample: str, shares_wh: list[list[float]]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A block of a fixture and its arrays."""
    config: dict[str, Any] = {
        "width": 7,
        "roi_spatial": 3,
        "num_classes": 16,
        "reduce_dim": 6,
        "hidden_dim": 4,
        "depth": depth,
    }
    config |= {"mlp_1x1": True} if mlp_1x1 else {}
    config |= {"downsample": downsample} if downsample != "max2x2" else {}
    kernel = 1 if mlp_1x1 else 3
    keys = head_keys(width=7, reduced=6, hidden=4, classes=16, depth=depth, kernel=kernel)
    shapes = [[3, 4, 2, 6, 8], [3, 3, 4, 6, 8]]
    random = np.random.RandomState(seed)
    maps = torch.cat([torch.from_numpy(random.standard_normal(shape)).float().mean(2) for shape in shapes], dim=1)
    weights = {key: rule_weight(key, shape) for key, shape in keys.items()}
    found = plain_head(maps, torch.tensor(ROIS), weights, size=3, downsample=downsample, shares_wh=shares_wh)
    logits = found.pop("logits")
    assert isinstance(logits, Tensor)
    arrays = {
        "logits": logits.numpy(),
        "scores": torch.cat([logits[:, :13].softmax(1), logits[:, 13:].sigmoid()], 1).numpy(),
    }
    actor = found.pop("actor")
    assert isinstance(actor, Tensor)
    arrays["actor_first32"] = actor[:, :32].numpy()
    tensors: dict[str, Any] = {}
    for name, each in found.items():
        many = each if isinstance(each, list) else [each]
        told = [{"shape": list(x.shape), "mean": float(x.mean()), "std": float(x.std(correction=0))} for x in many]
        tensors[name] = told if isinstance(each, list) else told[0]
        if isinstance(each, list):
            for number, x in enumerate(many):
                flat = x.flatten()
                arrays[f"{name}.{number}_strided64"] = flat[[j * len(flat) // 64 for j in range(64)]].numpy()
    case = {
        "head": config,
        "features": f"RandomState({seed}): standard_normal of each shape in order, float32",
        "feature_shapes": shapes,
        "rois_batch_x1y1x2y2_normalised": ROIS,
        "roi_ids": IDS,
        "sizes_before_padding_wh": shares_wh,
        "keys": keys,
        "tensors": tensors,
        "parameters": sum(math.prod(shape) for shape in keys.values()),
    }
    return case, arrays


def plain_loss() -> dict[str, Any]:
    """The mean of binary cross-entropies over 13 probabilities of a softmax and 47 of sigmoids, in float64."""
    logits = np.random.RandomState(8).standard_normal((3, 60)).astype(np.float32).astype(np.float64)
    targets = [[0, 5, 30], [], [12, 59]]
    x = torch.from_numpy(logits).requires_grad_()
    scores = torch.cat([x[:, :13].exp() / x[:, :13].exp().sum(1, keepdim=True), 1 / (1 + (-x[:, 13:]).exp())], 1)
    wanted = torch.zeros(3, 60, dtype=torch.float64)
    for row, classes in enumerate(targets):
        wanted[row, classes] = 1
    loss = -(wanted * scores.log() + (1 - wanted) * (1 - scores).log()).mean()
    (gradient,) = torch.autograd.grad(loss, x)
    return {
        "logits": "RandomState(8).standard_normal((3,60))", "targets": targets, "loss": float(loss.detach()),
        "grad_norm_rows": gradient.norm(dim=1).tolist(), "scores_row0_first4": scores[0, :4].tolist(),
    }  # fmt: skip


def acar_fixture(folder: Path) -> Path:
    """Write a fixture of three small heads, a loss, two schedules and boxes; returns the path of its JSON."""
    whole = [[1.0, 1.0]] * 3
    cases = {
        "deep": head_case(3, depth=2, mlp_1x1=False, downsample="max2x2", shares_wh=whole),
        "flat": head_case(4, depth=1, mlp_1x1=True, downsample="none", shares_wh=whole),
        "cut": head_case(5, depth=1, mlp_1x1=False, downsample="max2x2", shares_wh=[[0.8, 1], [1, 1], [0.6, 0.7]]),
    }
    neck = {
        "numpy_seed": 4, "scale": 0.1, "boxes": [[0.2, 0.1, 0.6, 0.7]], "flip": [True], "pad_ratio": [[1.0, 1.25]],
    }  # fmt: skip
    u = np.random.RandomState(4).uniform(-0.1, 0.1, 4)
    x1, y1, x2, y2 = 0.2 + u[0] * 0.4, 0.1 + u[1] * 0.6, 0.6 + u[2] * 0.4, 0.7 + u[3] * 0.6
    neck |= {
        "train_rois": [[0, 1 - x2, y1 / 1.25, 1 - x1, y2 / 1.25]], "eval_rois": [[0, 0.4, 0.08, 0.8, 0.56]],
        "sizes_before_padding": [[1.0, 0.8]],
    }  # fmt: skip
    rates = {
        "r50": {"0": 0.008, "5": 0.008 + 0.056 * 5 / 7, "7": 0.064, "38": 0.064, "39": 0.0064, "40": 0.00064},
        "r101": {"6": 0.008 + 0.056 * 6 / 7, "31": 0.064, "32": 0.0064, "33": 0.00064},
    }
    facts = {
        "upstream": "Siyu-C/ACAR-Net, written out", "loss": plain_loss(), "neck": neck,
        "schedule_7_steps_per_epoch": rates, **{name: case for name, (case, _) in cases.items()},
    }  # fmt: skip
    path = folder / "acar.json"
    path.write_text(json.dumps(facts))
    arrays: dict[str, Any] = {
        f"{name}/{key}": each for name, (_, found) in cases.items() for key, each in found.items()
    }
    np.savez(path.with_suffix(".npz"), **arrays)
    return path

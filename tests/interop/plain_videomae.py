"""VideoMAE's detector in plain functions, written from its description, and fixtures of it with any numbers.

It uses nothing of `pipeline.models`.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.interop.plain import roi_align

State = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "type": "mmaction.VisionTransformer", "img_size": 80, "patch_size": 16, "embed_dims": 24, "depth": 3,
    "num_heads": 3, "mlp_ratio": 2, "qkv_bias": True, "num_frames": 6, "norm_cfg": {"type": "LN", "eps": 1e-06},
    "drop_path_rate": 0.2, "use_mean_pooling": False, "return_feat_map": True,
}  # fmt: skip
COLUMNS = 5
BOXES = [[[3.0, 5.5, 40.25, 60.0], [0.0, 0.0, 85.0, 70.0]], [[30.0, 10.0, 84.0, 33.3]]]


def sines(places: int, width: int) -> np.ndarray[Any, Any]:
    """The position table, place by place and channel by channel."""
    table = np.zeros((places, width))
    for place in range(places):
        for channel in range(width):
            angle = place / 10000 ** (2 * (channel // 2) / width)
            table[place, channel] = math.cos(angle) if channel % 2 else math.sin(angle)
    return table


def cubic(old: int, new: int) -> np.ndarray[Any, Any]:
    """The weights [new, old] of bicubic resizing without aligned corners, a = -0.75; the borders are repeated."""
    weights = np.zeros((new, old))
    for place in range(new):
        at = (place + 0.5) * old / new - 0.5
        first = math.floor(at)
        for step in range(-1, 3):
            gap = abs(at - first - step)
            near = 1.25 * gap**3 - 2.25 * gap**2 + 1
            far = -0.75 * gap**3 + 3.75 * gap**2 - 6 * gap + 3
            weights[place, min(max(first + step, 0), old - 1)] += near if gap <= 1 else far
    return weights


def positions(config: dict[str, Any], rows: int, columns: int) -> Tensor:
    """The table of another grid, [places, width]: every slice of two frames by itself."""
    side, slices, width = config["img_size"] // config["patch_size"], config["num_frames"] // 2, config["embed_dims"]
    table = sines(slices * side * side, width).reshape(slices, side, side, width)
    found = np.einsum("yi,xj,tijc->tyxc", cubic(side, rows), cubic(side, columns), table)
    return torch.from_numpy(found.reshape(-1, width))


def detect(state: State, config: dict[str, Any], clip: Tensor, boxes: list[list[list[float]]]) -> State:
    """All tensors that a fixture has, in double precision."""
    weights = {key: value.double() for key, value in state.items()}
    patch, width, heads = config["patch_size"], config["embed_dims"], config["num_heads"]
    clips, _, frames, height, _ = clip.shape
    slices, rows, columns = frames // 2, height // patch, clip.shape[4] // patch
    cut = clip.double()[:, :, :, : rows * patch, : columns * patch]
    tubes = cut.reshape(clips, 3, slices, 2, rows, patch, columns, patch).permute(0, 2, 4, 6, 1, 3, 5, 7)
    kernel = weights["backbone.patch_embed.projection.weight"].reshape(width, -1)
    x = tubes.reshape(clips, slices * rows * columns, -1) @ kernel.T + weights["backbone.patch_embed.projection.bias"]
    found = {"patch_embed": x}
    x = x + positions(config, rows, columns)
    for block in range(config["depth"]):
        x = _block(weights, f"backbone.blocks.{block}", x, heads)
        found[f"block{block}"] = x
    x = _norm(weights, "backbone.norm", x)
    found["backbone_out"] = x.transpose(1, 2).reshape(clips, width, slices, rows, columns)
    pooled = found["backbone_out"].mean(dim=2).float()
    cells = [
        roi_align(pooled[number], box, stride=patch, size=8, aligned=True)
        for number, each in enumerate(boxes)
        for box in each
    ]
    roi = torch.stack(cells).double()
    found |= {"roi_feats": roi[:, :, None], "fc_in": roi.amax(dim=(2, 3))}
    last = "roi_head.bbox_head.fc_cls"
    found["cls_score"] = found["fc_in"] @ weights[f"{last}.weight"].T + weights[f"{last}.bias"]
    return found | {"prob": 1 / (1 + torch.exp(-found["cls_score"]))}


def _block(weights: State, name: str, x: Tensor, heads: int) -> Tensor:
    clips, tokens, width = x.shape
    seen = _norm(weights, f"{name}.norm1", x)
    query, key, value = (seen @ each.T for each in weights[f"{name}.attn.qkv.weight"].split(width))
    query, value = query + weights[f"{name}.attn.q_bias"], value + weights[f"{name}.attn.v_bias"]
    query, key, value = (each.reshape(clips, tokens, heads, -1).transpose(1, 2) for each in (query, key, value))
    attention = (query @ key.transpose(2, 3) / math.sqrt(width // heads)).softmax(dim=3)
    x = x + _linear(weights, f"{name}.attn.proj", (attention @ value).transpose(1, 2).reshape(clips, tokens, width))
    hidden = _linear(weights, f"{name}.mlp.layers.0.0", _norm(weights, f"{name}.norm2", x))
    return x + _linear(weights, f"{name}.mlp.layers.1", 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))))


def _norm(weights: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-6)


def _linear(weights: State, name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of MMAction2's state dict."""
    width, side = config["embed_dims"], config["img_size"] // config["patch_size"]
    hidden, patch = width * config["mlp_ratio"], config["patch_size"]
    found: dict[str, tuple[int, ...]] = {
        "backbone.pos_embed": (1, config["num_frames"] // 2 * side * side, width),
        "backbone.patch_embed.projection.weight": (width, 3, 2, patch, patch),
        "backbone.patch_embed.projection.bias": (width,),
    }
    for block in range(config["depth"]):
        one = {
            "norm1.weight": (width,), "norm1.bias": (width,), "attn.q_bias": (width,), "attn.v_bias": (width,),
            "attn.qkv.weight": (3 * width, width), "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
            "norm2.weight": (width,), "norm2.bias": (width,), "mlp.layers.0.0.weight": (hidden, width),
            "mlp.layers.0.0.bias": (hidden,), "mlp.layers.1.weight": (width, hidden), "mlp.layers.1.bias": (width,),
        }  # fmt: skip
        found |= {f"backbone.blocks.{block}.{key}": shape for key, shape in one.items()}
    found |= {"backbone.norm.weight": (width,), "backbone.norm.bias": (width,)}
    last = "roi_head.bbox_head.fc_cls"
    return found | {f"{last}.weight": (COLUMNS, width), f"{last}.bias": (COLUMNS,)}


def drawn(key: str, shape: tuple[int, ...]) -> Tensor:
    """A weight by the rule of all fixtures."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    values = random.standard_normal(shape)
    if key.endswith("bias"):
        values *= 0.1
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    else:
        values /= np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def state_of(config: dict[str, Any]) -> State:
    """The weights of MMAction2's detector, with the fixed position table."""
    state = {key: drawn(key, shape) for key, shape in shapes(config).items()}
    places, width = state["backbone.pos_embed"].shape[1:]
    return state | {"backbone.pos_embed": torch.from_numpy(sines(places, width)).float()[None]}


def made_videomae(folder: Path, config: dict[str, Any] = SMALL, *, size: tuple[int, int] = (70, 85)) -> Path:
    """Write a fixture: `main` at `size`, and `square` at the size of the position table; returns its JSON."""
    state = state_of(config)
    facts: dict[str, Any] = {
        "upstream": "open-mmlab/mmaction2 main 4d6c934",
        "backbone": config,
        "parameters": sum(value.numel() for key, value in state.items() if key != "backbone.pos_embed"),
        "state_dict": [[key, list(value.shape)] for key, value in state.items()],
    }
    arrays: dict[str, Any] = {}
    for name, (height, width) in {"main": size, "square": (config["img_size"],) * 2}.items():
        shape = (2, 3, config["num_frames"], height, width)
        clip = np.random.RandomState(7).standard_normal(shape).astype(np.float32)
        found = detect(state, config, torch.from_numpy(clip), BOXES)
        written = f"RandomState(7).standard_normal(({','.join(map(str, shape))})) float32, used as normalised"
        kept = {key: value for key, value in found.items() if key not in ("cls_score", "prob")}
        facts[name] = {"clip": written, "boxes_xyxy": BOXES, "tensors": {
            key: {"shape": list(value.shape), "mean": float(value.mean()), "std": float(value.std(correction=0))}
            for key, value in kept.items()
        }}  # fmt: skip
        prefix = "" if name == "main" else f"{name}/"
        for key, value in found.items():
            flat = value.flatten().float().numpy()
            strided = flat[[index * flat.size // 64 for index in range(64)]]
            arrays |= (
                {f"{prefix}{key}/strided64": strided} if key in kept else {f"{prefix}{key}": value.float().numpy()}
            )
    facts["pos_embed_interpolated_bicubic_align_corners_false"] = {
        f"{rows}x{columns}": _table_facts(positions(config, rows, columns))
        for rows, columns in ((4, 5), (7, 3), (5, 5))
    }
    path = folder / "vit-small.json"
    path.write_text(json.dumps(facts))
    np.savez(path.with_suffix(".npz"), **arrays)
    return path


def _table_facts(table: Tensor) -> dict[str, Any]:
    numbers = {"mean": float(table.mean()), "std": float(table.std(correction=0))}
    return {"shape": [1, *table.shape], **numbers, "row2_first6": table[2, :6].tolist()}

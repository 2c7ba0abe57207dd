"""Fixtures of Hiera that another network's numbers fill than the one that is checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import plain_hiera
from benchmarks.plain_hiera import Sizes
from pipeline.interop.fixtures import rule_weight

CLASSES = 5
SMALL = Sizes((1, 2, 1, 2), 8, 2, 2, 16, 8)


def weights(sizes: Sizes, classes: int = CLASSES) -> plain_hiera.State:
    return {key: rule_weight(key, shape) for key, shape in plain_hiera.shapes(sizes, classes).items()}


def clip_shape(sizes: Sizes, clips: int) -> tuple[int, ...]:
    return clips, 3, 2 * sizes.slices, 4 * sizes.rows, 4 * sizes.columns


def network(sizes: Sizes, clips: int, seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """What a fixture states of a network, in its JSON and in its npz."""
    state, shape = weights(sizes), clip_shape(sizes, clips)
    clip = torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
    maps = plain_hiera.stages(state, sizes, clip)
    logits = plain_hiera.logits(state, maps[3])
    facts = {
        "config": {
            "q_stride": [1, 2, 2], "mask_unit_size": [1, 8, 8], "patch_kernel": [3, 7, 7], "patch_stride": [2, 4, 4],
            "patch_padding": [1, 3, 3], "sep_pos_embed": True, "num_classes": CLASSES, "input_size": list(shape[2:]),
            "embed_dim": sizes.width, "num_heads": sizes.heads, "stages": list(sizes.blocks),
        },
        "clip": f"RandomState({seed}).standard_normal({shape}) float32",
        "parameters": sum(each.numel() for each in state.values()),
        "intermediates": [
            {"shape_B_T_H_W_C": list(each.shape), "mean": float(each.mean()), "std": float(each.std(correction=0))}
            for each in maps
        ],
        "stage_ends": [sum(sizes.blocks[: stage + 1]) - 1 for stage in range(4)],
        "block_dims": plain_hiera.block_dims(sizes),
        "pos_embed_shapes": {key: list(state[key].shape) for key in state if key.startswith("pos_embed")},
        "state_dict": [[key, list(each.shape)] for key, each in state.items()],
        "drop_path_all_zero": True,
        "roi_rows": [[clips - 1, 3.0, 5.0, 4.0 * sizes.columns, 30.0]],
    }  # fmt: skip
    arrays = {f"stage{number}_strided64": strided(each) for number, each in enumerate(maps)}
    arrays |= {"logits": logits.numpy(), "prob": logits.softmax(1).numpy()}
    return facts, arrays


def strided(x: Tensor) -> np.ndarray[Any, Any]:
    flat = x.flatten()
    return flat[[place * flat.numel() // 64 for place in range(64)]].numpy()


def fixture(folder: Path, networks: dict[str, Sizes], **more: Any) -> Path:
    path, facts = folder / "hiera.json", dict[str, Any](more)
    arrays: dict[str, Any] = {}
    for number, (name, sizes) in enumerate(networks.items()):
        facts[name], own = network(sizes, clips=number + 1, seed=number + 3)
        arrays |= {f"{name}/{key}": value for key, value in own.items()}
    path.write_text(json.dumps(facts))
    np.savez(path.with_suffix(".npz"), **arrays)
    return path

"""Run the networks of a fixture of Hiera (facebookresearch/hiera) and compare every number with upstream's."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import near
from pipeline.interop.checked_config import Checked
from pipeline.interop.compare_fixture import Difference, ParityReport, compare
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Array, Expected, read_arrays, rule_weight
from pipeline.interop.reading import reading
from pipeline.interop.trn_draws import drawn_input
from pipeline.models.backbones.hiera import BASE, Hiera, HieraShape, block_shapes
from pipeline.models.backbones.hiera_tokens import FRAMES, PATCH, UNIT
from pipeline.models.build import parameter_count
from pipeline.models.roi import pool_roi, pool_time, roi_features
from pipeline.models.settings import RoiSettings

HEAD = "head.projection."
STAGES = (1, 2, 3, 4)
ROI = RoiSettings(output_size=7)
_PARTS = re.compile(r"stage(\d)_strided64")
# What upstream refuses or accepts at other sizes, where ours has rules of its own.
_ABOUT_UPSTREAM = {"upstream", "other_input_sizes", "transposed_input", "other_size_than_built"}
_COUNTS = "video_parameters"
_NAMED = {
    "tiny": HieraShape((1, 2, 7, 2), 96, 1),
    "small": HieraShape((1, 2, 11, 2), 96, 1),
    "base": HieraShape(BASE, 96, 1),
    "base_plus": HieraShape(BASE, 112, 2),
}
"Networks for clips of 16 x 224 x 224 whose parameters a fixture counts."
_CLASSES = 400


def is_hiera(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return any(isinstance(each, dict) and "mask_unit_size" in each.get("config", ()) for each in facts.values())


def check_hiera(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Build each network that a fixture describes, fill its weights by the rule, run it and compare every number.

    Args:
        path: the fixture's JSON; the npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or describes something that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    differences, found, stated = [], 0, 0
    with reading(path):
        for name, known in facts.items():
            if name in _ABOUT_UPSTREAM:
                continue
            if name == _COUNTS:
                differences += [
                    near(f"{name}/{each}", _count(each), count, relative=0) for each, count in known.items()
                ]
                continue
            count, compared = _check_network(name, known, arrays)
            differences += compared
            found, stated = found + count, stated + known["parameters"]
        left = sorted(key for key in arrays if key.partition("/")[0] not in facts)
        if left:
            raise InputError(f"tensor {left[0]} is of no network of the fixture")
    return ParityReport(path.stem, str(facts.get("upstream", "Hiera")), (found, stated), None, differences)


def _check_network(name: str, known: Any, arrays: Mapping[str, Array]) -> tuple[int, list[Difference]]:
    """Return the number of parameters, the classifier's included, and the differences."""
    given = Checked(known, name)
    shape, classes, size = _described(given.block("config"))
    clip = drawn_input(given.take("clip"))
    if list(clip.shape[1:]) != [3, *size]:
        raise InputError(f"{name}.clip has the shape {list(clip.shape)}, expected [clips, 3, {str(size)[1:]}")
    with torch.device("meta"):
        network = Hiera(shape, maps=(4,)).eval()
    weights = {key: rule_weight(key, value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    channels = network.out_channels
    head = {f"{HEAD}weight": (classes, channels), f"{HEAD}bias": (classes,)}
    if "state_dict" in given.values:
        shapes = {key: tuple(sides) for key, sides in given.take("state_dict")}
        fit_state(
            {key: torch.empty(sides, device="meta") for key, sides in shapes.items()},
            weights | {key: torch.empty(sides, device="meta") for key, sides in head.items()},
            lambda key: key,
        )
    differences = _compare_shapes(name, given, network, shape)
    boxes = torch.tensor(given.take("roi_rows"), dtype=torch.float32).reshape(-1, 5)
    with torch.no_grad():
        seen = _run(network, clip, boxes, {key: rule_weight(key, sides) for key, sides in head.items()})
    expected = _expected(name, given.take("intermediates"), arrays)
    given.without_effect("parameters", "roi_note")  # the caller compares the first
    given.finish()
    for key, each in expected.items():
        if key not in seen:
            raise InputError(f"tensor {name}/{key} is not known here")
        differences.append(compare(f"{name}/{key}", seen[key], each))
    return parameter_count(network) + sum(math.prod(sides) for sides in head.values()), differences


def _count(name: str) -> int:
    """Count the parameters of a named network with its classifier."""
    if name not in _NAMED:
        raise InputError(f"{_COUNTS}.{name} is not known here, supported: {', '.join(_NAMED)}")
    with torch.device("meta"):
        network = Hiera(_NAMED[name], maps=(4,))
    return parameter_count(network) + _CLASSES * (network.out_channels + 1)


def _described(config: Checked) -> tuple[HieraShape, int, list[int]]:
    """Return the network's shape, its classes, and frames, height and width of its clips."""
    config.fixed("q_stride", [1, 2, 2])
    config.fixed("mask_unit_size", [1, UNIT, UNIT])
    config.fixed("patch_kernel", [3, 7, 7])
    config.fixed("patch_stride", [FRAMES, PATCH, PATCH])
    config.fixed("patch_padding", [1, 3, 3])
    config.fixed("sep_pos_embed", True)
    size = config.take("input_size")
    frames, height, width = size
    if frames % FRAMES or height % (PATCH * UNIT) or width % (PATCH * UNIT):
        config.refuse("input_size", size, "an even number of frames, and sides that are multiples of 32")
    blocks = tuple(config.take("stages")) if "stages" in config.values else BASE
    if len(blocks) != len(STAGES):
        config.refuse("stages", list(blocks), "the blocks of four stages")
    shape = HieraShape(
        (blocks[0], blocks[1], blocks[2], blocks[3]),
        config.integer("embed_dim") if "embed_dim" in config.values else 96,
        config.integer("num_heads") if "num_heads" in config.values else 1,
        grid=(height // PATCH, width // PATCH),
        slices=frames // FRAMES,
    )
    return shape, config.integer("num_classes"), size


def _compare_shapes(name: str, given: Checked, network: Hiera, shape: HieraShape) -> list[Difference]:
    """Compare what is stated of the blocks and of the tables of positions."""
    mine: dict[str, Any] = {
        "stage_ends": [end - 1 for end in network.ends],
        "block_dims": [
            [each.inputs, each.outputs, each.heads, 4 if each.pools else 1, side**2, each.within_units]
            for each in block_shapes(shape)
            for side in [each.side // 2 if each.pools else each.side]
        ],
        "drop_path_all_zero": all(block.drop_path == 0 for block in network.blocks),
    }
    found = [near(f"{name}/{key}", mine[key], given.take(key), relative=0) for key in mine if key in given.values]
    for key, sides in (given.take("pos_embed_shapes") if "pos_embed_shapes" in given.values else {}).items():
        found.append(near(f"{name}/{key}", network.get_parameter(key).shape, sides, relative=0))
    return found


def _run(network: Hiera, clip: Tensor, boxes_R5: Tensor, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the fixture may state, under its names."""
    stages = network.stages(clip, STAGES)
    assert network.norm is not None
    pooled = network.norm(stages[4].flatten(1, 3).mean(dim=1))
    logits = torch.nn.functional.linear(pooled, head[f"{HEAD}weight"], head[f"{HEAD}bias"])
    map_BChw = pool_time(network.join(stages, (clip.shape[3], clip.shape[4])), "mean")
    roi = roi_features(map_BChw, boxes_R5[:, 1:], boxes_R5[:, 0].long(), stride=network.stride, settings=ROI)
    seen = {f"stage{stage - 1}": each for stage, each in stages.items()}
    return seen | {"logits": logits, "prob": logits.softmax(dim=1), "roi_pooled": pool_roi(roi)}


def _expected(name: str, stated: list[Mapping[str, Any]], arrays: Mapping[str, Array]) -> dict[str, Expected]:
    """Sort what is stated of a network's tensors by tensor."""
    found = {
        f"stage{number}": Expected(tuple(each["shape_B_T_H_W_C"]), {key: each[key] for key in ("mean", "std")})
        for number, each in enumerate(stated)
    }
    for key, values in arrays.items():
        network, _, tensor = key.partition("/")
        if network != name:
            continue
        stage = _PARTS.fullmatch(tensor)
        if stage:
            found.setdefault(f"stage{stage[1]}", Expected()).values["strided64"] = values
        else:
            found.setdefault(tensor, Expected()).values["full"] = values
    if "logits" not in found:
        raise InputError(f"{name}/logits is missing")
    return found

"""Run heads and detectors of ACAR-Net as a fixture describes them, and compare every tensor with upstream's."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.interop import acar_keys
from pipeline.interop.acar_training import compare_loss, compare_neck, compare_rates
from pipeline.interop.alphaction_losses import near
from pipeline.interop.checked_config import Checked
from pipeline.interop.compare_fixture import Difference, ParityReport, compare
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Array, Expected, read_arrays, rule_weight
from pipeline.interop.reading import reading
from pipeline.models.backbones.resnet3d import R50, R101, slow_stages
from pipeline.models.backbones.slowfast import Pathways, SlowFast
from pipeline.models.build import parameter_count
from pipeline.models.context import Context
from pipeline.models.detector import Detector
from pipeline.models.heads.acar import Relations
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import pool_time, roi_features
from pipeline.models.settings import RoiSettings

POSES = 13
"The first classes of ACAR-Net's 60: one softmax."
_SEED = re.compile(r"RandomState\((\d+)\)")
_SHAPE = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\(([\d, ]+)\)\)")
_RATES = re.compile(r"schedule_(\d+)_steps_per_epoch")
_LEFT_OUT = ("upstream", "name", "note")
Seen = dict[str, Tensor]


def is_acar_fixture(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    return "ACAR" in str(facts.get("upstream")) or any(_is_head(each) or _is_model(each) for each in facts.values())


def _is_head(value: Any) -> bool:
    return isinstance(value, dict) and {"head", "feature_shapes", "keys"} <= value.keys()


def _is_model(value: Any) -> bool:
    return isinstance(value, dict) and {"backbone", "head", "clip", "state_dict"} <= value.keys()


def check_acar(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Compute everything that a fixture states, and compare.

    Args:
        path: the fixture's JSON; the npz with the tensors lies beside it, where it states any.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, or has a block or a tensor that is not known here.
    """
    with reading(path):
        whole = any(_is_head(each) or _is_model(each) for each in facts.values())
        arrays = read_arrays(path.with_suffix(".npz")) if whole else {}
        astray = [name for name in arrays if not isinstance(facts.get(name.partition("/")[0]), dict)]
        if astray:
            raise InputError(f"{astray[0]} is the tensor of no block of the fixture")
        found = [each for name, value in facts.items() for each in _block(name, value, arrays)]
        upstream = str(facts.get("upstream", "ACAR-Net")).partition(" ")[0]
    return ParityReport(path.stem, upstream, None, None, found)


def _block(name: str, value: Any, arrays: Mapping[str, Array]) -> list[Difference]:
    if name in _LEFT_OUT:
        return []
    mine = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
    if _is_head(value):
        return _head_case(name, value, mine)
    if _is_model(value):
        return _model_case(name, value, mine)
    rates = _RATES.fullmatch(name)
    if rates:
        return compare_rates(name, value, int(rates[1]))
    if isinstance(value, dict) and {"logits", "targets", "loss"} <= value.keys():
        return compare_loss(name, value)
    if isinstance(value, dict) and {"numpy_seed", "scale", "boxes"} <= value.keys():
        return compare_neck(name, value)
    raise InputError(f"the block {name} is not known here")


def _head_case(name: str, case: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Difference]:
    random = np.random.RandomState(_seed(case["features"]))
    maps = [torch.from_numpy(random.standard_normal(shape).astype(np.float32)) for shape in case["feature_shapes"]]
    pooled_BChw = pool_time(maps, "mean")
    head, size = _head(case["head"], maps=pooled_BChw.shape[1])
    _fill(head, {f"{acar_keys.HEAD}{key}": shape for key, shape in case["keys"].items()}, prefix="head.")
    rois_R5 = torch.tensor(case["rois_batch_x1y1x2y2_normalised"], dtype=torch.float32).reshape(-1, 5)
    _check_ids(name, case["roi_ids"], rois_R5, len(pooled_BChw))
    clip_index, boxes_R4 = rois_R5[:, 0].long(), rois_R5[:, 1:].clone()
    height, width = pooled_BChw.shape[2:]
    cells_R4 = boxes_R4 * torch.tensor([width, height] * 2)
    roi = roi_features(pooled_BChw, cells_R4, clip_index, stride=1, settings=_roi(size))
    seen = _by_image(head, pooled_BChw, roi, clip_index, case["sizes_before_padding_wh"])
    if all(tuple(each) == (1, 1) for each in case["sizes_before_padding_wh"]):
        seen["logits of one call"] = head(roi, Context(clip_index, feature_map=pooled_BChw)).detach()
        if "logits" in arrays:
            arrays = {**arrays, "logits of one call": arrays["logits"]}
    stated = {**_stated(case["tensors"]), **_with_arrays(case["tensors"], arrays)}
    return [
        near(f"{name}/parameters", parameter_count(head), case["parameters"], relative=0),
        *_compared(name, seen, stated),
    ]


def _model_case(name: str, case: Mapping[str, Any], arrays: Mapping[str, Array]) -> list[Difference]:
    shapes = {key: tuple(shape) for key, shape, *_ in case["state_dict"]}
    if "sizes_before_padding_wh" in case:
        raise InputError(f"{name}: a whole model with padded clips is not known here")
    with torch.device("meta"):
        backbone = _backbone(case["backbone"], shapes)
        head, size = _head(case["head"], maps=backbone.out_channels)
        detector = Detector(backbone, head, roi=_roi(size))
    found = _SHAPE.search(case["clip"])
    if not found:
        raise InputError(f"{name}: the clip is drawn by {case['clip']!r}, expected RandomState(N).standard_normal(...)")
    sides = tuple(int(side) for side in found[2].split(","))
    clips = torch.from_numpy(np.random.RandomState(int(found[1])).standard_normal(sides).astype(np.float32))
    _fill(detector, shapes)
    rois_R5 = torch.tensor(case["rois"], dtype=torch.float32).reshape(-1, 5)
    _check_ids(name, case["roi_ids"], rois_R5, len(clips))
    boxes_R4 = rois_R5[:, 1:] * torch.tensor([sides[4], sides[3]] * 2)
    given = boxes_R4.clone()
    seen: Seen = {}
    keep = backbone.register_forward_hook(
        lambda _, inputs, maps: seen.update({f"features.{number}": each for number, each in enumerate(maps)})
    )
    with torch.no_grad():
        seen["logits"] = detector(clips, boxes_R4, rois_R5[:, 0].long())
    keep.remove()
    seen["scores"] = _scores(seen["logits"])
    tensors = {"features": case["features"]}
    renamed = {key.replace("feature", "features.", 1): array for key, array in arrays.items()}
    stated = {**_stated(tensors), **_with_arrays(tensors, renamed)}
    return [
        near(f"{name}/parameters", parameter_count(detector), case["parameters"], relative=0),
        near(f"{name}/boxes after the pass", boxes_R4, given, relative=0),
        *_compared(name, seen, stated),
    ]


def _head(config: Any, *, maps: int) -> tuple[Head, int]:
    """Build the head of a case, on torch's default device, and return it with the cells per side of its RoIs."""
    given = Checked({"roi_spatial": 7, "num_classes": 60, **config}, "head")
    given.without_effect("dropout")
    given.one_of("width", maps)
    options: dict[str, Any] = {
        "depth": given.integer("depth") if "depth" in config else 2,
        "kernel": 1 if "mlp_1x1" in config and given.flag("mlp_1x1") else 3,
        "reduced": given.integer("reduce_dim") if "reduce_dim" in config else 1024,
        "hidden": given.integer("hidden_dim") if "hidden_dim" in config else 512,
        "downsample": given.one_of("downsample", "max2x2", "none") if "downsample" in config else "max2x2",
        "bias": "bias" in config and given.flag("bias"),
    }
    if "kernel_size" in config:
        given.one_of("kernel_size", 3)
    classes, size = given.integer("num_classes"), given.integer("roi_spatial")
    given.finish()
    settings = HeadSettings(roi_channels=maps, bank_channels=0, map_channels=maps, classes=classes, dropout=0.0)
    return build_head("acar", settings, options), size


def _backbone(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> SlowFast:
    """Build the backbone of a case; its depth shows in the keys."""
    given = Checked(config, "backbone")
    depth = 1 + max(int(each[1]) for each in map(re.compile(r".*slow_res3\.(\d+)\..*").fullmatch, shapes) if each)
    blocks = next((each for each in (R50, R101) if each[2] == depth), None)
    if blocks is None:
        raise InputError(f"slow_res3 has {depth} blocks, expected {R50[2]} or {R101[2]}")
    beta = given.take("beta")
    if type(beta) is not float or beta <= 0 or 64 % (1 / beta):
        given.refuse("beta", beta, "1/2, 1/4, ... to 1/64")
    norm = "fuse_only_conv" in config and not given.flag("fuse_only_conv")
    spread = "slow_full_span" in config and given.flag("slow_full_span")
    pathways = Pathways(
        alpha=given.integer("alpha"),
        beta=int(1 / beta),
        fusion_kernel=given.integer("fuse_kernel_size") if "fuse_kernel_size" in config else 5,
        fusion_norm=norm,
        slow_frames="linspace" if spread else "stride",
    )
    given.finish()
    return SlowFast(slow_stages(blocks, width=64, last_dilation=2), pathways, stem_width=64)


def _roi(size: int) -> RoiSettings:
    return RoiSettings(output_size=size, aligned=False, scale="map")


def _fill(network: nn.Module, shapes: Mapping[str, Any], prefix: str = "") -> None:
    """Fill a network with weights by the rule, each with its key in upstream's network as seed."""
    weights = {key: rule_weight(key.removeprefix(prefix), shape) for key, shape in shapes.items()}

    def rename(key: str) -> str | None:
        ours = acar_keys.our_key(key)
        return ours and ours.removeprefix(prefix)

    try:
        state, _ = fit_state(weights, network.state_dict(), rename)
    except InputError as error:
        raise InputError(f"the described network has other weights than the fixture: {error}") from None
    network.load_state_dict(state, assign=True)
    network.eval()


def _by_image(head: Head, maps_BChw: Tensor, roi: Tensor, clip_index: Tensor, shares_wh: list[list[float]]) -> Seen:
    """Run the head on the unpadded part of each image's map; RoIs are cut out of the padded one."""
    assert isinstance(head.shared, Relations)
    height, width = maps_BChw.shape[2:]
    seen: dict[str, list[Tensor]] = {}
    with torch.no_grad(), _kept(head.shared, seen):
        parts, order = [], []
        for image in sorted(set(clip_index.tolist())):
            mine = clip_index == image
            share_w, share_h = shares_wh[image]
            part = maps_BChw[image : image + 1, :, : math.ceil(height * share_h), : math.ceil(width * share_w)]
            parts.append(head(roi[mine], Context(clip_index[mine] * 0, feature_map=part)))
            order += mine.nonzero()[:, 0].tolist()
        logits_RK = torch.cat(parts)[torch.tensor(order).argsort()]
        reduced = head.shared.reduce(maps_BChw)
        persons = head.shared.persons(roi)
    named = {f"{name}.{number}": each for name, found in seen.items() for number, each in enumerate(found)}
    return {**named, "reduced": reduced, "actor": persons, "logits": logits_RK, "scores": _scores(logits_RK)}


@contextmanager
def _kept(body: Relations, seen: dict[str, list[Tensor]]) -> Iterator[None]:
    """Keep what the parts of the relations give, one tensor for each image, under the fixture's names."""
    layers = {f"hr2o{number}": layer for number, layer in enumerate(body.layers)}
    last = f"hr2o{len(layers) - 1}"

    def keeper(name: str) -> Any:
        def keep(_: nn.Module, __: Any, output: Tensor) -> None:
            seen.setdefault(name, []).append(output.clone())
            if name == last:
                seen.setdefault("gap", []).append(output.mean(dim=(2, 3), keepdim=True))

        return keep

    parts = {"conv2": body.conv2, "down": body.down, **layers}
    handles = [module.register_forward_hook(keeper(name)) for name, module in parts.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scores(logits_RK: Tensor) -> Tensor:
    return torch.cat([logits_RK[:, :POSES].softmax(dim=1), logits_RK[:, POSES:].sigmoid()], dim=1)


def _stated(tensors: Mapping[str, Any]) -> dict[str, Expected]:
    """Return what the JSON says of tensors: shape and statistics; those of a list are numbered."""
    stated = {}
    for name, told in tensors.items():
        many = (
            {f"{name}.{number}": each for number, each in enumerate(told)} if isinstance(told, list) else {name: told}
        )
        for key, each in many.items():
            statistics = {kind: each[kind] for kind in ("mean", "std", "absmax") if kind in each}
            stated[key] = Expected(tuple(each["shape"]), statistics)
    return stated


def _with_arrays(tensors: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Expected]:
    """Return the same with the values of the npz."""
    stated = _stated(tensors)
    for name, values in arrays.items():
        stem, _, part = name.rpartition("_")
        if part in ("strided64", "first64"):
            stated.setdefault(stem, Expected()).values[part] = values
        elif part == "first32":
            stated.setdefault(stem, Expected()).values["rows_first32"] = values
        else:
            stated.setdefault(name, Expected()).values["full"] = values
    return stated


def _compared(name: str, seen: Seen, stated: Mapping[str, Expected]) -> list[Difference]:
    if "logits" not in stated:
        raise InputError(f"{name}: not a whole fixture: it has no logits to compare with")
    unknown = [each for each in stated if each not in seen]
    if unknown:
        raise InputError(f"tensor {name}/{unknown[0]} is not known here")
    return [compare(f"{name}/{each}", seen[each], expected) for each, expected in stated.items()]


def _seed(rule: str) -> int:
    found = _SEED.search(rule)
    if not found:
        raise InputError(f"numbers are drawn by {rule!r}, expected RandomState(N)")
    return int(found[1])


def _check_ids(name: str, ids: list[int], rois_R5: Tensor, images: int) -> None:
    """Check that the running numbers of each image's first RoI are those of the RoIs."""
    counts = torch.bincount(rois_R5[:, 0].long(), minlength=images)
    expected = [0, *counts.cumsum(0).tolist()]
    if list(ids) != expected:
        raise InputError(f"{name}: roi_ids are {ids}, expected {expected} of the RoIs")

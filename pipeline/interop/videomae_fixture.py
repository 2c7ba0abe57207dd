"""Check MMAction2's VideoMAE detectors: the network with weights by the rule, and the position table on any grid.

The fixture says what upstream's backbone was built with (`backbone`), and has one run for each block that has a `clip`:
`main`, whose tensors have no prefix, and others, whose tensors have their name before them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.interop import mmaction2
from pipeline.interop.checked_config import Checked
from pipeline.interop.compare_fixture import Difference, ParityReport, compare, run_fixture
from pipeline.interop.fixtures import Array, Expected, Fixture, Run, checked_run, read_arrays, rule_weight
from pipeline.interop.mmaction2_head import DescribedModel
from pipeline.interop.reading import reading
from pipeline.models.backbones.videomae import EPS, VideoMae, sine_table
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.linear import linear

TABLE = "backbone.pos_embed"
TABLES = "pos_embed_interpolated_bicubic_align_corners_false"
TUBE = 2
ROW = re.compile(r"row(\d+)_first(\d+)")
CLIP = re.compile(r"RandomState\((\d+)\)\.standard_normal\(\(([\d, ]+)\)\)")


def is_videomae(facts: Mapping[str, Any]) -> bool:
    """Return whether a fixture's JSON is of this kind."""
    backbone = facts.get("backbone")
    return isinstance(backbone, dict) and str(backbone.get("type")).split(".")[-1] == "VisionTransformer"


def check_videomae(path: Path, facts: Mapping[str, Any]) -> ParityReport:
    """Build the detector that the fixture describes, run it, and compare its tensors and its position tables.

    Args:
        path: the fixture's JSON; its npz lies beside it.
        facts: what the JSON holds.

    Raises:
        InputError: the fixture is not whole, has a value that is not supported, or a tensor that is not known here.
    """
    arrays = read_arrays(path.with_suffix(".npz"))
    with reading(path):
        with torch.device("meta"):
            network = described_backbone(facts["backbone"])
        fixture = _fixture(path, facts, arrays, network)
        if not fixture.expected["", ""].keys() >= {"cls_score"}:
            raise InputError("not a whole fixture: it has no logits (cls_score) to compare with")
        tables = _compare_tables(facts, network)
    report = run_fixture(path, fixture)
    return replace(report, differences=[*report.differences, *tables])


def described_backbone(values: Any) -> VideoMae:
    """Build the backbone of upstream's arguments, on torch's default device, with any weights.

    Raises:
        InputError: an argument has a value that is not supported, or is not known.
    """
    given = Checked(values, "backbone")
    given.without_effect("type", "drop_path_rate", "init_cfg", "pretrained")
    given.fixed("qkv_bias", True)
    given.fixed("in_channels", 3)
    given.fixed("use_mean_pooling", False)
    given.fixed("return_feat_map", True)
    given.fixed("use_learnable_pos_emb", False)
    given.fixed("init_values", 0.0)
    given.fixed("tubelet_size", TUBE)
    for rate in ("drop_rate", "attn_drop_rate", "qk_scale"):
        given.fixed(rate, 0.0, None)
    if "norm_cfg" in given.values:
        norm = given.block("norm_cfg")
        norm.fixed("type", "LN")
        norm.one_of("eps", EPS)
    patch, size = given.integer("patch_size"), given.integer("img_size")
    network = VideoMae(
        width=given.integer("embed_dims"),
        depth=given.integer("depth"),
        heads=given.integer("num_heads"),
        frames=given.integer("num_frames"),
        patch=(TUBE, patch, patch),
        grid=(size // patch, size // patch),
        mlp_ratio=given.integer("mlp_ratio"),
    )
    given.finish()
    return network


def _fixture(path: Path, facts: Mapping[str, Any], arrays: dict[str, Array], network: VideoMae) -> Fixture:
    blocks = {name: each for name, each in facts.items() if isinstance(each, dict) and "clip" in each}
    shapes = {key: tuple(shape) for key, shape in facts["state_dict"]}
    state = {key: rule_weight(key, shape) for key, shape in shapes.items() if key != TABLE}
    if TABLE in shapes:
        state[TABLE] = sine_table(math.prod(shapes[TABLE][:-1]), shapes[TABLE][-1]).reshape(shapes[TABLE])
    columns = shapes["roi_head.bbox_head.fc_cls.weight"][0]
    settings = HeadSettings(
        roi_channels=network.out_channels, bank_channels=0, map_channels=network.out_channels, classes=columns
    )
    with torch.device("meta"):
        model = DescribedModel(Detector(network, linear(settings)), columns, multilabel=True)
    expected: dict[tuple[str, str], dict[str, Expected]] = {(_variant(name), ""): {} for name in blocks}
    for name, block in blocks.items():
        for tensor, known in block["tensors"].items():
            statistics = {key: known[key] for key in ("mean", "std") if key in known}
            expected[_variant(name), ""][tensor] = Expected(tuple(known["shape"]), statistics)
    for name, values in arrays.items():
        variant = next((_variant(each) for each in blocks if each != "main" and name.startswith(f"{each}/")), "")
        stem, _, part = name.removeprefix(variant).rpartition("/")
        place, part = (stem, part) if part in ("first64", "strided64") else (name.removeprefix(variant), "full")
        expected[variant, ""].setdefault(place, Expected()).values[part] = values
    return Fixture(
        name=path.stem,
        upstream=f"MMAction2 {str(facts.get('upstream', '')).partition('mmaction2 ')[2]}".strip(),
        model=model,
        state=state,
        rename=mmaction2.our_key,
        parameters=facts["parameters"],
        buffers=None,
        runs=[_run(_variant(name), block) for name, block in blocks.items()],
        expected=expected,
    )


def _variant(block: str) -> str:
    return "" if block == "main" else f"{block}/"


def _run(variant: str, block: Mapping[str, Any]) -> Run:
    clip = CLIP.search(block["clip"])
    if clip is None:
        raise InputError(f"clip is {block['clip']!r}, expected RandomState(SEED).standard_normal((B,3,T,H,W))")
    boxes = [box for each in block["boxes_xyxy"] for box in each]
    index = [number for number, each in enumerate(block["boxes_xyxy"]) for _ in each]
    return checked_run(
        Run(
            variant,
            "",
            tuple(int(size) for size in clip[2].split(",")),
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(index, dtype=torch.int64),
            int(clip[1]),
        )
    )


def _compare_tables(facts: Mapping[str, Any], network: VideoMae) -> list[Difference]:
    """Compare the table itself, whose `first8` are of its second row, and the table on other grids."""
    slices = network.frames // network.patch[0]
    table = sine_table(slices * math.prod(network.grid), network.out_channels)[None]
    known = facts.get("pos_embed", {})
    found = []
    for name, row in (("first8", 1), ("last8_row_last", -1)):
        if name in known:
            last = slice(-8, None) if row < 0 else slice(8)
            found.append(compare(f"pos_embed/{name}", table[0, row, last], _values(known[name])))
    resize = network.to_empty(device="cpu")
    resize.pos_embed.copy_(table)
    for grid, stated in facts.get(TABLES, {}).items():
        rows, columns = (int(side) for side in grid.split("x"))
        found += _compare_table(f"pos_embed/{grid}", resize.positions(rows, columns), stated)
    return found


def _compare_table(name: str, table_1NC: Tensor, stated: Mapping[str, Any]) -> list[Difference]:
    statistics = {key: stated[key] for key in ("mean", "std") if key in stated}
    found = [compare(name, table_1NC, Expected(tuple(stated["shape"]), statistics))]
    for key, values in stated.items():
        row = ROW.fullmatch(key)
        if row:
            found.append(compare(f"{name}/{key}", table_1NC[0, int(row[1]), : int(row[2])], _values(values)))
        elif key not in ("shape", "mean", "std"):
            raise InputError(f"{name}: {key} is not known here")
    return found


def _values(values: Any) -> Expected:
    return Expected(None, {}, {"full": np.asarray(values, np.float64)})

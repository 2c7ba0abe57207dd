"""Compare with reference values that upstream MMAction2 computed (tests/fixtures/parity/mmaction2/README.md)."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import rule_weight
from pipeline.interop.mmaction2 import our_key
from pipeline.models.build import build_backbone
from pipeline.models.context import BankWindow, Context
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import pool_time, roi_channels, roi_features
from pipeline.models.settings import RoiSettings

FOLDER = Path(__file__).parent / "fixtures" / "parity" / "mmaction2"
R50 = "slowonly-r50-4x16-ava21"
R101 = "slowonly-r101-8x8-ava21"
LFB_NL = "slowonly-lfb-nl-r50-4x16-ava21"
LFB_AVG = "slowonly-lfb-avg-r50-4x16-ava21"
LFB_INFER = "slowonly-lfb-infer-r50-4x16-ava21"


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


_weight = functools.cache(rule_weight)


def upstream_state(name: str) -> dict[str, Tensor]:
    """The fixture's state dict in upstream's keys and order."""
    return {key: _weight(key, tuple(shape)) for key, shape, _ in read(name)["state_dict"]}


PLAIN, MAX, CONTEXT = RoiSettings(), RoiSettings(temporal="max"), RoiSettings(context="global")
BOTH = RoiSettings(temporal="max", context="global")


@dataclass(frozen=True)
class Recipe:
    """What builds a fixture's network."""

    backbone: str
    head: str = "linear"
    roi: RoiSettings = PLAIN
    mlp: bool = False
    columns: int = 81


RECIPES = {
    R50: Recipe("slowonly_r50"),
    R101: Recipe("slowonly_r101"),
    LFB_INFER: Recipe("slowonly_r50"),
    LFB_NL: Recipe("slowonly_r50", "lfb_nl"),
    LFB_AVG: Recipe("slowonly_r50", "lfb_avg"),
    "slowonly-r50-4x16-ava21-singlelabel": Recipe("slowonly_r50"),
    "slowonly-r50-4x16-multisports-singlelabel": Recipe("slowonly_r50", columns=66),
    "slowonly-r50-4x16-avakinetics": Recipe("slowonly_r50"),
    "slowonly-r50-8x8-avakinetics": Recipe("slowonly_r50"),
    "slowonly-r50-context-8x8-avakinetics": Recipe("slowonly_r50", roi=CONTEXT),
    "slowonly-r50-context-temporal-max-8x8-avakinetics": Recipe("slowonly_r50", roi=BOTH),
    "slowonly-r50-context-temporal-max-nl-head-8x8-avakinetics": Recipe("slowonly_r50", roi=BOTH, mlp=True),
    "slowonly-r50-tricks-16x4-avakinetics": Recipe("slowonly_r50", roi=BOTH, mlp=True),
    "slowonly-r50-nl-4x16-ava21": Recipe("slowonly_r50_nl"),
    "slowonly-r50-nl-8x8-ava21": Recipe("slowonly_r50_nl"),
    "slowfast-r50-4x16-ava21": Recipe("slowfast_r50_4x16"),
    "slowfast-r50-4x16-multisports-singlelabel": Recipe("slowfast_r50_4x16", columns=66),
    "slowfast-r50-8x8-ava21": Recipe("slowfast_r50_8x8"),
    "slowfast-r50-8x8-ava22": Recipe("slowfast_r50_8x8"),
    "slowfast-r50-temporal-max-8x8-ava22": Recipe("slowfast_r50_8x8", roi=MAX),
    "slowfast-r50-temporal-max-focal-8x8-ava22": Recipe("slowfast_r50_8x8", roi=MAX),
    "slowfast-acrn-r50-8x8-ava21": Recipe("slowfast_r50_8x8", "acrn"),
    "slowfast-acrn-r50-8x8-ava22": Recipe("slowfast_r50_8x8", "acrn"),
}


def build(name: str) -> Detector:
    """Our network of the fixture, all columns kept."""
    recipe = RECIPES[name]
    backbone = build_backbone(recipe.backbone)
    settings = HeadSettings(
        roi_channels=roi_channels(backbone.out_channels, recipe.roi),
        bank_channels=2048 if recipe.head.startswith("lfb") else 0,
        map_channels=backbone.out_channels,
        classes=recipe.columns,
        mask="none",
        mlp=recipe.mlp,
    )
    return Detector(backbone, build_head(recipe.head, settings), roi=recipe.roi)


@functools.lru_cache(maxsize=3)
def detector(name: str) -> Detector:
    """The fixture's network with the fixture's weights, in eval mode; shared, so leave it as it is."""
    with torch.device("meta"):
        model = build(name)
    state, _ = fit_state(upstream_state(name), model.state_dict(), our_key)
    model.load_state_dict(state, assign=True)
    return model.eval()


@dataclass(frozen=True)
class Inputs:
    clips: Tensor
    boxes_xyxy: Tensor
    clip_index: Tensor


def inputs(name: str, variant: str = "") -> Inputs:
    """Clips and boxes of a fixture, or of its variant "odd/"."""
    facts = read(name)
    if variant:
        facts = facts["variants"][variant.rstrip("/")]
    clips = np.random.RandomState(0).standard_normal(facts["input"]["shape"]).astype(np.float32)
    return Inputs(
        torch.from_numpy(clips),
        torch.tensor([box for boxes in facts["boxes_xyxy"] for box in boxes], dtype=torch.float32),
        torch.tensor(facts["roi_batch_index"]),
    )


def windows(variant: str = "") -> Tensor:
    """One window per RoI, [6, 300, 2048]; variant "padded/" or "empty/" has zeros in all or some slots."""
    rows = np.random.RandomState(1).standard_normal((6, 300, 2048)).astype(np.float32)
    slot = np.arange(300)
    second, place = slot // 5, slot % 5
    if variant == "padded/":
        rows[:, place >= second % 6] = 0
    if variant == "empty/":
        rows[:] = 0
    return torch.from_numpy(rows)


def rois(name: str, variant: str = "") -> Tensor:
    """RoI maps [R, C, 1, 8, 8] of the fixture."""
    return run(name, variant)["roi_feats"]


def run(name: str, variant: str = "") -> dict[str, Tensor]:
    """Every tensor that the fixture knows, under the fixture's names without the variant's prefix."""
    model = detector(name)
    own_clips = variant.rstrip("/") in read(name).get("variants", {})
    given = inputs(name, variant if own_clips else "")
    stages = [tensor.removeprefix("stage/") for tensor in read(name)["tensors"] if tensor.startswith("stage/")]
    seen: dict[str, Tensor] = {}
    with torch.no_grad(), Capture(model, stages) as inside:
        maps = model.backbone(given.clips)
        pooled = pool_time(maps, model.roi.temporal)
        roi = roi_features(pooled, given.boxes_xyxy, given.clip_index, stride=16, settings=model.roi)
        seen.update({f"stage/{stage}": value for stage, value in inside.items()})
    seen.update({f"backbone_out{path}": each for path, each in enumerate(maps)})
    seen.update({"global_feat": pooled.unsqueeze(2), "roi_feats": roi})
    window = None
    if "window" in model.head.needs:  # upstream draws a window for each RoI
        rows = windows(variant)
        window = BankWindow(rows, torch.ones(rows.shape[:2], dtype=torch.bool), torch.arange(len(roi)))
    context = Context(given.clip_index, window, pooled)
    shared = ["head.shared"] if model.head.shared is not None else []
    with torch.no_grad(), Capture(model, shared, ["head.classifier"]) as inside:
        seen["cls_score"] = model.head(roi, context)
    seen["fc_in"] = inside["head.classifier"]
    seen["shared_head_out"] = inside["head.shared"] if shared else roi  # upstream's LFBInferHead hands RoIs on
    return seen


def run_head(name: str, head: str, variant: str = "") -> dict[str, Tensor]:
    """What an LFB head computes on the fixture's RoIs."""
    assert RECIPES[name].head == head
    return run(name, variant)


class Capture:
    """Records outputs of some submodules, and inputs of others, under their names."""

    def __init__(self, module: nn.Module, outputs: list[str], arguments: list[str] | None = None) -> None:
        self.module, self.outputs, self.arguments = module, outputs, arguments or []

    def __enter__(self) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> None:
            seen[name] = value.detach().clone()  # what follows may work in place

        self.handles = [
            *[
                self.module.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: keep(name, out))
                for name in self.outputs
            ],
            *[
                self.module.get_submodule(name).register_forward_pre_hook(lambda m, a, name=name: keep(name, a[0]))
                for name in self.arguments
            ],
        ]
        return seen

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def assert_close(found: Tensor, expected: np.ndarray, what: str) -> None:
    """|difference| <= 1e-4 + 1e-4 |expected|, and the same shape."""
    assert tuple(found.shape) == expected.shape, what
    excess = np.abs(found.numpy() - expected) - (1e-4 + 1e-4 * np.abs(expected))
    assert excess.max() <= 0, f"{what}: {excess.max():.2e} beyond the tolerance"


VARIANTS = ("odd/", "padded/", "empty/")


def tensors_of(name: str, variant: str = "") -> dict[str, Any]:
    """Shape, mean and std of the tensors of a fixture or of its variant, without the variant's prefix."""
    facts = read(name)
    known = facts.get("variants", {}).get(variant.rstrip("/"), facts)["tensors"]
    return {
        tensor.removeprefix(variant): value
        for tensor, value in known.items()
        if isinstance(value, dict) and "shape" in value and _variant(tensor) == variant
    }


def _variant(tensor: str) -> str:
    return next((prefix for prefix in VARIANTS if tensor.startswith(prefix)), "")


def variants_of(name: str) -> list[str]:
    """No variant, and the prefixes of those of the fixture."""
    return sorted({_variant(array) for array in np.load(FOLDER / f"{name}.npz").files})


def assert_tensor(name: str, tensor: str, found: Tensor) -> None:
    """Shape (but for trailing ones), mean, spread and 128 values of an intermediate tensor of a fixture."""
    variant = _variant(tensor)
    known, arrays = tensors_of(name, variant)[tensor.removeprefix(variant)], np.load(FOLDER / f"{name}.npz")
    assert [*found.shape, *[1] * (len(known["shape"]) - found.dim())] == known["shape"], tensor
    flat = found.flatten()
    assert_close(flat[:64], arrays[f"{tensor}/first64"], f"{tensor}/first64")
    strided = flat[[index * flat.numel() // 64 for index in range(64)]]
    assert_close(strided, arrays[f"{tensor}/strided64"], f"{tensor}/strided64")
    statistics = torch.stack([flat.double().mean(), flat.double().std(correction=0)])
    assert_close(statistics, np.array([known["mean"], known["std"]]), f"{tensor} mean and std")


def expected(name: str, array: str) -> np.ndarray:
    """An array that is stored in full."""
    values: np.ndarray = np.load(FOLDER / f"{name}.npz")[array]
    return values

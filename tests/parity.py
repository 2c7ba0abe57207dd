"""Reference values computed by upstream MMAction2 (tests/fixtures/parity/mmaction2/README.md)."""

import functools
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.interop.mmaction2 import convert_detector
from pipeline.models.build import build_backbone
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadContext, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.roi import roi_features

FOLDER = Path(__file__).parent / "fixtures" / "parity" / "mmaction2"
R50 = "slowonly-r50-4x16-ava21"
R101 = "slowonly-r101-8x8-ava21"
LFB_NL = "slowonly-lfb-nl-r50-4x16-ava21"
LFB_AVG = "slowonly-lfb-avg-r50-4x16-ava21"
LFB_INFER = "slowonly-lfb-infer-r50-4x16-ava21"


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


@functools.cache
def _weight(key: str, shape: tuple[int, ...]) -> Tensor:
    random = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        values = 0.5 + random.random_sample(shape)
    elif key.endswith(("running_mean", "bias")):
        values = 0.1 * random.standard_normal(shape)
    elif len(shape) == 1:
        values = 1 + 0.1 * random.standard_normal(shape)
    else:
        values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def upstream_state(name: str) -> dict[str, Tensor]:
    """The fixture's state dict in upstream's keys and order."""
    return {key: _weight(key, tuple(shape)) for key, shape, _ in read(name)["state_dict"]}


@functools.cache
def detector(name: str, head: str = "linear") -> Detector:
    """Our detector with the fixture's weights, all 81 columns kept, in eval mode; shared, so leave it as it is."""
    backbone = build_backbone("slowonly_r101" if name == R101 else "slowonly_r50")
    settings = HeadSettings(roi_channels=2048, bank_channels=0 if head == "linear" else 2048, classes=81, mask="none")
    model = Detector(backbone, build_head(head, settings))
    state, _ = convert_detector(upstream_state(name), model.state_dict(), background="keep")
    model.load_state_dict(state)
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


@functools.cache
def feature_maps(name: str, variant: str = "") -> tuple[Tensor, ...]:
    """Maps of the fixture's clips. The LFB fixtures have the backbone and the clips of R50."""
    with torch.no_grad():
        maps: tuple[Tensor, ...] = detector(name).backbone(inputs(name, variant).clips)
    return maps


def rois(name: str, variant: str = "") -> Tensor:
    """RoI maps [6, 2048, 1, 8, 8] of the fixture."""
    given = inputs(name, variant)
    return roi_features(feature_maps(name, variant), given.boxes_xyxy, given.clip_index, stride=16)


def run_head(name: str, head: str, variant: str = "") -> dict[str, Tensor]:
    """What an LFB head computes on the fixture's RoIs: upstream draws a window per RoI, so each is a clip here."""
    model = detector(name, head).head
    context = HeadContext(clip_index=torch.arange(6), window=windows(variant))
    with torch.no_grad(), Capture(model, ["shared"], ["classifier"]) as seen:
        logits = model(rois(R50), context)
    return {"shared_head_out": seen["shared"], "fc_in": seen["classifier"], "cls_score": logits}


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


def assert_tensor(name: str, tensor: str, found: Tensor) -> None:
    """Shape (but for trailing ones), mean, spread and 128 values of an intermediate tensor of a fixture."""
    facts, arrays = read(name), np.load(FOLDER / f"{name}.npz")
    prefix = tensor.split("/")[0]
    known = facts["tensors"] if prefix != "odd" else facts["variants"]["odd"]["tensors"]
    shape = known[tensor]["shape"]
    assert [*found.shape, *[1] * (len(shape) - found.dim())] == shape, tensor
    flat = found.flatten()
    assert_close(flat[:64], arrays[f"{tensor}/first64"], f"{tensor}/first64")
    strided = flat[[index * flat.numel() // 64 for index in range(64)]]
    assert_close(strided, arrays[f"{tensor}/strided64"], f"{tensor}/strided64")
    statistics = torch.stack([flat.double().mean(), flat.double().std(correction=0)])
    assert_close(statistics, np.array([known[tensor]["mean"], known[tensor]["std"]]), f"{tensor} mean and std")


def expected(name: str, array: str) -> np.ndarray:
    """An array that is stored in full."""
    values: np.ndarray = np.load(FOLDER / f"{name}.npz")[array]
    return values

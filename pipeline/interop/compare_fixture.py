"""Run the model of a parity fixture and compare every tensor with upstream's."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.interop.conversion import fit_state
from pipeline.interop.fixtures import Expected, Fixture, Run, read_fixture
from pipeline.interop.mmaction2 import our_key
from pipeline.interop.mmaction2_head import DescribedModel
from pipeline.interop.reading import naming
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.context import BankWindow, Context
from pipeline.models.heads.head import Head, pool_persons
from pipeline.models.roi import pool_roi, pool_time, roi_features

ABSOLUTE = RELATIVE = 1e-4
HALF_STEP = 2.0**-10
"Two values that differ by 1e-4 may round to neighbouring float16 numbers."

_BLOCK = re.compile(r"block(\d+)")
Seen = dict[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from upstream's."""

    tensor: str
    values: int
    "Number of compared values."
    largest: float
    share: float
    "Largest ratio of difference to tolerance over the values; above 1 is a failure."
    note: str = ""

    @property
    def within(self) -> bool:
        """Return whether every value is within the tolerance; never true for NaN."""
        return self.share <= 1


@dataclass(frozen=True)
class ParityReport:
    """The result of `check_parity`."""

    name: str
    upstream: str
    parameters: tuple[int, int] | None
    "Found, and as stated by the fixture; None for a fixture of single operations."
    buffers: tuple[int, int] | None
    differences: list[Difference]
    tolerance: str = f"{ABSOLUTE:g} + {RELATIVE:g} |x|"
    "In words."

    @property
    def passed(self) -> bool:
        """Return whether the counts are equal and every tensor is within the tolerance."""
        counts = (each for each in (self.parameters, self.buffers) if each is not None)
        return all(found == stated for found, stated in counts) and all(each.within for each in self.differences)

    @property
    def largest(self) -> float:
        """Return the largest difference of all tensors."""
        return max((each.largest for each in self.differences), default=0.0)


def check_parity(path: Path) -> ParityReport:
    """Build the model that a fixture describes, fill its weights by the rule, run it and compare every tensor.

    Args:
        path: the fixture's JSON; the npz lies beside it.

    Raises:
        InputError: see `read_fixture`; or the described model has other keys than the fixture's state dict, or does not
            accept its clip.
    """
    return run_fixture(path, read_fixture(path))


def run_fixture(path: Path, fixture: Fixture) -> ParityReport:
    """Fill the model of a fixture with its weights, run it and compare every tensor.

    Args:
        path: the fixture's JSON, for messages.
        fixture: the fixture; its model on the meta device.

    Raises:
        InputError: the model has other keys than the fixture's state dict, does not accept its clip, or the fixture has
            an unknown tensor.
    """
    detector = fixture.model.detector
    try:
        state, _ = fit_state(fixture.state, detector.state_dict(), fixture.rename)
    except InputError as error:
        raise InputError(f"{path}: the described model has other weights than the fixture: {error}") from None
    detector.load_state_dict(state, assign=True)
    detector.eval()
    differences = []
    maps: dict[str, tuple[Seen, Tensor]] = {}
    for run in fixture.runs:
        wanted = fixture.expected[run.variant, run.window]
        with torch.no_grad():
            if run.variant not in maps:
                with naming(path):
                    maps[run.variant] = run_backbone(fixture, run, wanted)
            seen, pooled = maps[run.variant]
            seen = seen | run_head(fixture, run, pooled)
        for name, expected in wanted.items():
            if name not in seen:
                raise InputError(f"{path}: tensor {run.variant}{run.window}{name} is not known here")
            differences.append(compare(f"{run.variant}{run.window}{name}", seen[name], expected))
    parameters = sum(each.numel() for each in detector.parameters())
    buffers = sum(each.numel() for each in detector.buffers())
    return ParityReport(
        fixture.name,
        fixture.upstream,
        (parameters, fixture.parameters),
        None if fixture.buffers is None else (buffers, fixture.buffers),
        differences,
    )


def run_backbone(fixture: Fixture, run: Run, wanted: dict[str, Expected]) -> tuple[Seen, Tensor]:
    """Return intermediate tensors of the backbone under the fixture's names, and the map pooled over time."""
    detector = fixture.model.detector
    clip = np.random.RandomState(run.seed).standard_normal(run.clip_shape).astype(np.float32)
    clip_BCTHW = torch.from_numpy(clip)[:, :, :: fixture.model.frame_step]
    seen: Seen = {}
    handles = []
    for name, module in _modules(detector.backbone, wanted).items():
        handles.append(module.register_forward_hook(_keep(seen, name)))
    try:
        maps = detector.backbone(clip_BCTHW)
    finally:
        for handle in handles:
            handle.remove()
    seen |= {f"backbone_out{number}": each for number, each in enumerate(maps)} | {"backbone_out": maps[0]}
    pooled_BChw = pool_time(maps, detector.roi.temporal)
    seen["global_feat"] = pooled_BChw.unsqueeze(2)
    return seen, pooled_BChw


def _modules(backbone: nn.Module, wanted: dict[str, Expected]) -> dict[str, nn.Module]:
    """Return the submodules whose outputs the fixture has, by the fixture's name."""
    own = dict(backbone.named_modules())
    found = {}
    for name in wanted:
        kind, _, module = name.partition("/")
        if kind == "stage" and module:
            place = (our_key(f"{module}.weight") or "").removesuffix(".weight").removeprefix("backbone.")
        elif name[:1] == "s" and name[1:2] in tuple("12345") and name[2:4] == ".p":
            path = ("slow_path.", "fast_path.")[name[4:] == "1"] if "slow_path" in own else ""
            place = path + ("maxpool" if name[1] == "1" else f"layer{int(name[1]) - 1}")
        elif name == "patch_embed" or _BLOCK.fullmatch(name):
            place = _BLOCK.sub(r"blocks.\1", name)
        else:
            continue
        if place in own:
            found[name] = own[place]
    return found


def _keep(seen: Seen, name: str) -> Callable[[nn.Module, object, Tensor], None]:
    # Clone: later modules may work in place.
    return lambda module, arguments, output: seen.update({name: output.detach().clone()})


def run_head(fixture: Fixture, run: Run, pooled_BChw: Tensor) -> Seen:
    """Return RoI features, classifier input, logits and scores, under the fixture's names."""
    model, detector = fixture.model, fixture.model.detector
    roi = roi_features(
        pooled_BChw, run.boxes_xyxy, run.clip_index, stride=detector.backbone.stride, settings=detector.roi
    )
    given = roi.mean(dim=(2, 3, 4)) if model.mean_pooled else roi
    context = Context(clip_index=run.clip_index, feature_map=pooled_BChw)
    if model.window_slots:
        # Upstream draws one window per person.
        rows = bank_window(model, len(roi), run.window, fixture.window_seed)
        own = BankWindow(rows, torch.ones(rows.shape[:2], dtype=torch.bool), torch.arange(len(roi)))
        context = Context(clip_index=run.clip_index, window=own)
    seen: Seen = {"roi_feats": roi}
    head = detector.head
    assert isinstance(head, Head)
    handles = [head.classifier.register_forward_pre_hook(lambda _, inputs: seen.update(fc_in=inputs[0].clone()))]
    if head.shared is not None:
        handles.append(head.shared.register_forward_hook(_keep(seen, "shared_head_out")))
    try:
        logits = head(given, context)
    finally:
        for handle in handles:
            handle.remove()
    seen.setdefault("shared_head_out", roi)
    scores = logits.sigmoid() if model.multilabel else logits.softmax(dim=1)
    height, width = run.clip_shape[3:]
    seen |= {"cls_score": logits, "logits": logits, "prob": scores, "scores": scores}
    seen["pred_bboxes_norm"] = run.boxes_xyxy / torch.tensor([width, height, width, height])
    if model.collects:
        seen["lfb_features_fp16_as_fp32"] = pool_persons(roi).half().float()
    return seen | _by_pathway(detector.backbone, roi)


def _by_pathway(backbone: nn.Module, roi: Tensor) -> Seen:
    """Return RoI maps and pooled features of each pathway, slow first."""
    slow = backbone.slow_path.out_channels if isinstance(backbone, SlowFast) else roi.shape[1]
    parts = [roi[:, :slow], *([roi[:, slow:]] if isinstance(backbone, SlowFast) else [])]
    seen: Seen = {}
    for number, part in enumerate(parts):
        seen[f"roi.p{number}"] = part[:, :, 0]
        seen[f"pooled.p{number}"] = pool_roi(part)
    return seen


def bank_window(model: DescribedModel, persons: int, kind: str, seed: int) -> Tensor:
    """Make window features by the README's rule, [persons, slots, channels]; `kind` is empty, `padded/` or `empty/`."""
    shape = (persons, model.window_slots, model.bank_channels)
    rows = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    if kind == "padded/":
        slot = np.arange(model.window_slots)
        second, place = slot // model.per_second, slot % model.per_second
        rows[:, place >= second % (model.per_second + 1)] = 0
    if kind == "empty/":
        rows[:] = 0
    return torch.from_numpy(rows)


def _part(found: Tensor, part: str, size: int) -> Tensor:
    """Return the values that an array of a fixture holds, as float64 [size]."""
    flat = found.flatten().double()
    if part == "strided64":
        return flat[[index * flat.numel() // 64 for index in range(64)]]
    if part == "rows_first32":
        return found.flatten(1)[:, :32].double().flatten()
    if part == "rows_mean":
        return found.flatten(1).double().mean(dim=1)
    return flat[:size]


def compare(name: str, found: Tensor, expected: Expected) -> Difference:
    """Return the largest difference of a tensor from what the fixture states: shape, statistics and values.

    Trailing axes of size 1 are ignored; any other difference of shape is an infinite difference.
    """
    shape = expected.shape or (expected.values["full"].shape if "full" in expected.values else None)
    if name.endswith("lfb_features_fp16_as_fp32") and shape:
        found = found[:, : shape[1]]  # the fixture holds the first channels
    if shape is not None and (*found.shape, *[1] * (len(shape) - found.dim())) != tuple(shape):
        return Difference(name, 0, float("inf"), float("inf"), f"shape {tuple(found.shape)}, expected {tuple(shape)}")
    flat = found.flatten().double()
    if not flat.numel():
        # Nothing to compare, and no statistics.
        stated = max((values.size for values in expected.values.values()), default=0)
        if shape is not None or not stated:
            return Difference(name, 0, 0.0, 0.0)
        return Difference(name, 0, float("inf"), float("inf"), f"0 values, expected {stated}")
    own = {"mean": flat.mean(), "std": flat.std(correction=0), "absmax": flat.abs().max()}
    mine = [own[statistic].reshape(1) for statistic in expected.statistics]
    theirs = [np.array([value]) for value in expected.statistics.values()]
    for part, values in expected.values.items():
        mine.append(_part(found, part, values.size))
        theirs.append(values.astype(np.float64).ravel())
    found_N, expected_N = torch.cat(mine).numpy(), np.concatenate(theirs)
    if found_N.shape != expected_N.shape:
        note = f"{len(found_N)} values, expected {len(expected_N)}"
        return Difference(name, 0, float("inf"), float("inf"), note)
    gaps = np.abs(found_N - expected_N)
    relative = RELATIVE + (HALF_STEP if name.endswith("lfb_features_fp16_as_fp32") else 0)
    shares = gaps / (ABSOLUTE + relative * np.abs(expected_N))
    if not np.isfinite(shares).all():
        return Difference(name, len(gaps), float("nan"), float("nan"), "not a number")
    return Difference(name, len(gaps), float(gaps.max()), float(shares.max()))

"""Build the sides that `benchmarks/models.py` compares: ours and `benchmarks/plain.py` on equal weights and inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import State, acrn, backbone, conv_bn, fbo, linear
from pipeline.base.numerics import compute_precision
from pipeline.interop.mmaction2 import upstream_key
from pipeline.models.backbones.alphaction_slowfast import FrozenNorm
from pipeline.models.backbones.resnet3d import Bottleneck
from pipeline.models.backbones.slowfast import SlowFast
from pipeline.models.build import build_detector
from pipeline.models.context import BankWindow, Context
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head, HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.training.speed import MemoryFormat, speed_up

CLASSES = 80
VARIANTS = ("bf16", "channels_last_3d", "compile")
HEADS = {
    "acrn_conv1": "ACRN, first convolution alone",
    "acrn": "ACRN",
    "lfb_nl": "LFB-NL, window of 300 rows",
}
Hyper = dict[str, Any]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def stages(
    blocks: Sequence[int] = (3, 4, 6, 3),
    *,
    strides: Sequence[int] = (1, 2, 2, 1),
    last_dilation: int = 1,
    non_local: Sequence[Any] = (0, 0, 0, 0),
) -> Hyper:
    """Of a pathway, what its weights do not tell."""
    return {
        "stage_blocks": blocks,
        "spatial_strides": strides,
        "dilations": (1, 1, 1, last_dilation),
        "non_local_stages": non_local,
    }


def slowonly(pathway: Hyper) -> Hyper:
    return {"backbone_type": "ResNet3dSlowOnly", "backbone": pathway}


def slowfast(alpha: int, pathway: Hyper, **more: Any) -> Hyper:
    own = {"resample_rate": alpha, "speed_ratio": alpha, "slow_path": pathway, "fast_path": pathway}
    return {"backbone_type": "ResNet3dSlowFast", **own, **more}


@dataclass(frozen=True)
class Case:
    """A network on clips of its published length."""

    backbone: str
    frames: int
    hyper: Hyper
    head: str = "linear"


R101, TINY = stages((3, 4, 23, 3)), stages((1, 1, 1, 1), strides=(1, 2, 1, 1))
NON_LOCAL = stages(non_local=(0, [1, 0, 1, 0], [1, 0, 1, 0, 1, 0], 0))
DILATED = stages(last_dilation=2)
FROZEN: Hyper = {"pool_padding": 0, "frozen_norms": True}
LINSPACE = {4: [0, 10, 20, 31], 8: [0, 4, 8, 13, 17, 22, 26, 31]}
CASES = {
    "slowonly_r50_4x16": Case("slowonly_r50", 4, slowonly(stages())),
    "slowonly_r101_8x8": Case("slowonly_r101", 8, slowonly(R101)),
    "slowonly_r50_nl_8x8": Case("slowonly_r50_nl", 8, slowonly(NON_LOCAL)),
    "slowfast_r50_4x16": Case("slowfast_r50_4x16", 32, slowfast(8, stages())),
    "slowfast_r50_8x8": Case("slowfast_r50_8x8", 32, slowfast(4, stages())),
    "slowfast_r101_8x8": Case("slowfast_r101_8x8", 32, slowfast(4, R101)),
    "acrn": Case("slowfast_r50_8x8", 32, slowfast(4, stages()), head="acrn"),
    "pyslowfast_slow_r50": Case("pyslowfast_slow_r50", 4, slowonly(DILATED)),
    "pyslowfast_slowfast_r50_4x16": Case(
        "pyslowfast_slowfast_r50_4x16", 32, slowfast(8, DILATED, slow_frames=LINSPACE[4])
    ),
    "pyslowfast_slowfast_r50_8x8": Case(
        "pyslowfast_slowfast_r50_8x8", 32, slowfast(4, DILATED, slow_frames=LINSPACE[8])
    ),
    "pyslowfast_slowfast_r101_8x8": Case(
        "pyslowfast_slowfast_r101_8x8",
        32,
        slowfast(4, stages((3, 4, 23, 3), last_dilation=2), slow_frames=LINSPACE[8]),
    ),
    "alphaction_slowfast_r50_4x16": Case(
        "alphaction_slowfast_r50_4x16",
        64,
        slowfast(8, DILATED, resample_rate=16, slow_frames=[7, 23, 39, 55], **FROZEN),
    ),
    "alphaction_slowfast_r101_8x8": Case(
        "alphaction_slowfast_r101_8x8",
        64,
        slowfast(
            4,
            stages((3, 4, 23, 3), last_dilation=2),
            resample_rate=8,
            slow_frames=list(range(3, 64, 8)),
            **FROZEN,
        ),
    ),
    "slowonly_tiny": Case("slowonly_tiny", 4, slowonly(TINY)),
    "slowfast_tiny": Case("slowfast_tiny", 16, slowfast(4, TINY)),
}


@dataclass(frozen=True)
class Settings:
    """What all measurements share."""

    device: str = "cpu"
    threads: int = 1
    clips: int = 2
    persons: int = 4
    "Of each clip."
    size: int = 128
    "Side of the clips in pixels."
    repeats: int = 3
    width: int | None = None
    "Channels of the stem; None for the published 64."
    dtype: torch.dtype = torch.float32


@dataclass
class Side:
    """One of those that are compared: `forward(training)` gives logits of all persons."""

    forward: Callable[[bool], Tensor]
    parameters: list[nn.Parameter]
    labels: Tensor
    precision: str = "fp32"
    "bf16 computes the forward pass in it; what tf32 changes, `set_numerics` sets for the process."

    def __post_init__(self) -> None:
        # The rate is small: the numbers of steps on random weights do not matter, and must not overflow.
        self.optimiser = torch.optim.SGD(self.parameters, lr=1e-6, momentum=0.9, weight_decay=1e-5)

    def logits(self, training: bool) -> Tensor:
        with compute_precision(self.labels.device, self.precision):
            logits = self.forward(training)
        return logits.to(self.labels.dtype)

    @torch.no_grad()
    def infer(self) -> Tensor:
        return self.logits(False)

    def step(self) -> Tensor:
        self.optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(self.logits(True), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss.detach()


def draw_norms(model: nn.Module) -> None:
    """Give the norms values of their own: at first many have scale 0, and a branch that counts for nothing.

    A branch behind a frozen norm counts for nothing by the weights of its last convolution.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d | FrozenNorm):
            nn.init.uniform_(module.weight, 0.2, 1.0)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, Bottleneck) and not module.conv3.conv.weight.any():
            nn.init.kaiming_normal_(module.conv3.conv.weight)


def set_training(model: Detector, training: bool) -> Detector:
    """As `model.train`, but for a backbone that draws its frames in training, which the plain one does not."""
    model.train(training)
    if isinstance(model.backbone, SlowFast) and model.backbone.slow_frames == "middle":
        model.backbone.eval()
    return model


def upstream_state(model: nn.Module, prefix: str = "") -> State:
    """The very tensors of `model` under upstream's names."""
    named = model.state_dict(keep_vars=True)
    return State({upstream_key(prefix + key) or prefix + key: value for key, value in named.items()})


def inputs(settings: Settings, frames: int) -> Batch:
    """Clips, boxes, clip_index and labels."""
    count, size = settings.clips * settings.persons, settings.size
    clips = torch.randn(settings.clips, 3, frames, size, size, dtype=settings.dtype)
    corner = torch.rand(count, 2, dtype=settings.dtype) * size / 2
    boxes = torch.cat([corner, corner + size / 8 + torch.rand(count, 2) * size * 3 / 8], dim=1).to(settings.dtype)
    clip_index = torch.arange(settings.clips).repeat_interleave(settings.persons)
    labels = (torch.rand(count, CLASSES) < 0.05).to(settings.dtype)
    device = torch.device(settings.device)
    return clips.to(device), boxes.to(device), clip_index.to(device), labels.to(device)


def build(case: Case, settings: Settings) -> Detector:
    torch.manual_seed(0)
    model = build_detector(case.backbone, classes=CLASSES, dropout=0.0, width=settings.width, head=case.head)
    draw_norms(model)
    return model.to(settings.device, settings.dtype)


def our_side(
    case: Case, settings: Settings, *, memory_format: MemoryFormat = "contiguous", compile_backbone: bool = False
) -> Side:
    """Ours on weights of its own; weights and inputs are the same each time."""
    model, batch = build(case, settings), inputs(settings, case.frames)
    speed_up(
        model, memory_format=memory_format, compile_backbone=compile_backbone, device=torch.device(settings.device)
    )
    return side_of(model, batch)


def side_of(model: Detector, batch: Batch) -> Side:
    clips, boxes, clip_index, labels = batch
    return Side(
        lambda training: set_training(model, training)(clips, boxes, clip_index), list(model.parameters()), labels
    )


def detector_sides(case: Case, settings: Settings) -> dict[str, Side]:
    """Ours and the plain one, on the same weights."""
    model, batch = build(case, settings), inputs(settings, case.frames)
    clips, boxes, clip_index, labels = batch
    state, stride = upstream_state(model), model.backbone.stride

    def plain(training: bool) -> Tensor:
        from torchvision.ops import roi_align

        state.training = training and not case.hyper.get("frozen_norms")
        feature = torch.cat([each.mean(dim=2) for each in backbone(state, case.hyper, clips)], dim=1)
        rois = torch.cat([clip_index[:, None].to(boxes), boxes], dim=1)
        x = roi_align(feature.to(boxes), rois, 8, spatial_scale=1 / stride, sampling_ratio=0, aligned=True).unsqueeze(2)
        if case.head == "acrn":
            x = acrn(state, {"num_convs": 1}, x, feature.unsqueeze(2), clip_index)
        return linear(state, "roi_head.bbox_head.fc_cls", x.flatten(2).amax(dim=2))

    return {"plain": Side(plain, list(model.parameters()), labels), "ours": side_of(model, batch)}


def variant_sides(case: Case, variant: str, settings: Settings) -> dict[str, Side]:
    """Ours by default, and with one setting of `pipeline.training.speed` or a precision."""
    changed = our_side(
        case,
        settings,
        memory_format="channels_last_3d" if variant == "channels_last_3d" else "contiguous",
        compile_backbone=variant == "compile",
    )
    changed.precision = "bf16" if variant == "bf16" else "fp32"
    return {"default": our_side(case, settings), variant: changed}


def head_sides(name: str, settings: Settings) -> dict[str, Side]:
    """A head of its published size, without what comes before it."""
    torch.manual_seed(0)
    channels = (2048 if name == "lfb_nl" else 2304) * (settings.width or 64) // 64
    sizes = HeadSettings(
        roi_channels=channels, bank_channels=channels, map_channels=channels, classes=CLASSES, dropout=0.0, mask="none"
    )
    options = {"dropout": 0.0, "init": "published"} if name == "lfb_nl" else {}
    head: Head = build_head(name.removesuffix("_conv1"), sizes, options)
    if name == "acrn_conv1" and head.shared is not None:
        head.shared.conv2 = nn.Identity()
    draw_norms(head)
    head.to(settings.device, settings.dtype)
    clips, _, clip_index, labels = inputs(settings, 1)
    cells = settings.size // 16
    roi, feature, window = (
        torch.rand(shape).to(clips)
        for shape in (
            (len(clip_index), channels, 1, 8, 8),
            (len(clips), channels, cells, cells),
            (len(clips), 300, channels),
        )
    )
    own = BankWindow(window, torch.ones_like(window[:, :, 0], dtype=torch.bool), clip_index)
    context = Context(clip_index, own, feature)
    state = upstream_state(head, "head.")

    def plain(training: bool) -> Tensor:
        state.training = training
        person = roi.flatten(2).amax(dim=2)
        if name == "lfb_nl":
            layers = {"fbo": "FBONonLocal", "fbo_cfg": {"num_non_local_layers": 2}}
            x = fbo(state, layers, person, window[clip_index])
        elif name == "acrn":
            x = acrn(state, {"num_convs": 1}, roi, feature.unsqueeze(2), clip_index).flatten(2).amax(dim=2)
        else:
            tiled = person[:, :, None, None].expand(-1, -1, cells, cells)
            pairs = torch.cat([tiled, feature[clip_index]], dim=1).unsqueeze(2)
            x = conv_bn(state, "roi_head.shared_head.conv1", pairs).flatten(2).amax(dim=2)
        return linear(state, "roi_head.bbox_head.fc_cls", x)

    parameters = list(head.parameters())
    ours = Side(lambda training: head.train(training)(roi, context), parameters, labels)
    return {"plain": Side(plain, parameters, labels), "ours": ours}


def sides_of(kind: str, name: str, settings: Settings) -> dict[str, Side]:
    """Two sides, the one that the other is measured by first.

    Args:
        kind: "network", "head", or one of `VARIANTS`.
        name: a key of `CASES`, or one of `HEADS`.
        settings: see there.
    """
    if kind == "head":
        return head_sides(name, settings)
    return detector_sides(CASES[name], settings) if kind == "network" else variant_sides(CASES[name], kind, settings)

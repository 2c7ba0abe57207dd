"""The rows of `benchmarks.gpu` on results: a GPU against the CPU on the same weights, and deterministic training."""

import copy
import itertools
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from benchmarks.networks import draw_norms
from benchmarks.sections import Row, Setup
from pipeline.base.numerics import compute_precision, named_nondeterminism, set_numerics
from pipeline.models.build import build_backbone
from pipeline.models.context import BankWindow, ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import HEADS, build_head
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import detector_loss

AGREEMENT_COLUMNS = ("logits differ by", "loss differs by", "gradients differ by")
REPEAT_COLUMNS = ("two trainings of 3 steps",)
CLASSES, CLIPS, PERSONS, OBJECTS, WINDOW, PER_SECOND, STEPS = 80, 2, 3, 5, 60, 5, 3


def backbone_of(setup: Setup) -> str:
    return "slowonly_tiny" if setup.tiny else "slowonly_r50"


@lru_cache(maxsize=1)  # the precisions of a detector follow each other
def make_detector(head: str, backbone: str) -> Detector:
    """A detector of published size with random weights; nothing in it counts for nothing."""
    torch.manual_seed(0)
    network = build_backbone(backbone)
    channels = network.out_channels
    settings = HeadSettings(
        roi_channels=channels, bank_channels=channels, map_channels=channels, classes=CLASSES,
        window_seconds=WINDOW, per_second=PER_SECOND, objects=OBJECTS if head.startswith("aia_") else 0,
    )  # fmt: skip
    detector = Detector(network, build_head(head, settings))
    draw_norms(detector)
    for each in detector.head.parameters():
        if each.dim() > 1 and not each.any():
            nn.init.normal_(each, std=0.02)
    return detector


def make_batch(channels: int, setup: Setup) -> Batch:
    """Clips, a window in which half the slots are empty, and objects, of which one clip has fewer."""
    draw = torch.Generator().manual_seed(1)
    side, frames = (48, 4) if setup.tiny else (128, 8)
    corner = torch.rand(CLIPS, PERSONS + OBJECTS, 2, generator=draw) * side / 2
    size = side / 8 + torch.rand(CLIPS, PERSONS + OBJECTS, 2, generator=draw) * side * 3 / 8
    boxes = torch.cat([corner, corner + size], dim=2)
    index = torch.arange(CLIPS).repeat_interleave(PERSONS)
    mask = torch.rand(CLIPS, WINDOW * PER_SECOND, generator=draw) < 0.5
    rows = torch.rand(*mask.shape, channels, generator=draw) * mask[..., None]
    seen = torch.arange(OBJECTS) < torch.tensor([[OBJECTS], [2]])
    return Batch(
        labels=(torch.rand(len(index), CLASSES, generator=draw) < 0.05).float(),
        clip_index=index,
        clips=torch.randn(CLIPS, 3, frames, side, side, generator=draw),
        boxes_xyxy=boxes[:, :PERSONS].flatten(0, 1),
        window=BankWindow(rows, mask, index),
        object_boxes=ObjectBoxes(boxes[:, PERSONS:] * seen[..., None], seen),
    )


def results(model: Detector, batch: Batch) -> dict[str, Tensor]:
    """Logits in evaluation, and loss and gradients of a training step without dropout, on the CPU."""
    assert batch.clips is not None
    assert batch.boxes_xyxy is not None
    with torch.no_grad():
        logits = model.eval()(batch.clips, batch.boxes_xyxy, batch.clip_index, batch.window, batch.object_boxes)
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    loss = detector_loss(model)(batch)
    loss.backward()
    gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    found = {"logits": logits, "loss": loss.detach(), "gradients": torch.cat(gradients)}
    return {name: value.double().cpu() for name, value in found.items()}


def measure_agreement(head: str, setup: Setup) -> list[str]:
    """Largest differences, each as a share of the largest value."""
    set_numerics(compute_dtype="fp32", deterministic=False, threads=None)
    model = make_detector(head, backbone_of(setup))
    batch, device = make_batch(model.roi_channels, setup), torch.device(setup.device)
    ours, theirs = results(copy.deepcopy(model), batch), results(copy.deepcopy(model).to(device), batch.to(device))
    return [f"{((ours[each] - theirs[each]).abs().max() / ours[each].abs().max()).item():.1e}" for each in ours]


def trained(head: str, backbone: str, precision: str, setup: Setup) -> dict[str, Tensor]:
    """Weights and statistics after a few steps, with dropout."""
    device = torch.device(setup.device)
    model = copy.deepcopy(make_detector(head, backbone)).to(device).train()
    batch, loss_of = make_batch(model.roi_channels, setup).to(device), detector_loss(model)
    torch.manual_seed(0)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(STEPS):
        optimiser.zero_grad()
        with compute_precision(device, precision):
            loss = loss_of(batch)
        loss.backward()
        optimiser.step()
    return {name: value.cpu() for name, value in model.state_dict().items()}


def measure_repeat(head: str, backbone: str, precision: str, setup: Setup) -> list[str]:
    set_numerics(compute_dtype=precision, deterministic=True, threads=None)
    with named_nondeterminism(torch.device(setup.device)):
        one, other = (trained(head, backbone, precision, setup) for _ in range(2))
    differ = [name for name in one if not torch.equal(one[name], other[name])]
    return [f"{len(differ)} of {len(one)} tensors differ, first {differ[0]}" if differ else "the same bits"]


def agreement_rows(setup: Setup) -> dict[str, Row]:
    return {head: partial(measure_agreement, head, setup) for head in HEADS}


def repeat_rows(setup: Setup) -> dict[str, Row]:
    backbones = ("slowfast_tiny",) if setup.tiny else ("slowfast_r50_8x8", "slowonly_r50_nl")
    pairs = [*((head, backbone_of(setup)) for head in HEADS), *(("linear", each) for each in backbones)]
    return {
        f"{head}, {backbone}, {precision}": partial(measure_repeat, head, backbone, precision, setup)
        for (head, backbone), precision in itertools.product(pairs, ("fp32", "bf16"))
    }

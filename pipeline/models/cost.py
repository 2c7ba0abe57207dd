"""The cost of a detector or recognizer: multiply-adds for one clip, counted without computing anything.

Convolutions, matrix products and attention count, with two operations for each multiply-add. Norms, activations,
pooling and RoIAlign do not count.
"""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.detector import Detector
from pipeline.models.recognizer import Recognizer


def count_gflops(
    detector: Detector, *, frames: int, side: int = 256, slots: int = 0, bank_channels: int = 0, objects: int = 0
) -> float:
    """Count the operations for one clip with one person, in billions.

    Args:
        detector: on the meta device; a head that reads the bank is moved to the CPU, with zeros for weights.
        frames: frames of the clip.
        side: side of the square clip in pixels.
        slots: rows of the bank's window.
        bank_channels: channels of such a row.
        objects: places for the clip's objects.
    """
    detector.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector.backbone(torch.empty(1, 3, frames, side, side, device="meta"))
        _run_head(detector, side // detector.backbone.stride, slots, bank_channels, objects)
    flops: int = counter.get_total_flops()
    return flops / 1e9


def count_recognizer_gflops(recognizer: Recognizer, *, segments: int, side: int = 224) -> float:
    """Count the operations for one view, in billions.

    Args:
        recognizer: on the meta device.
        segments: frames of the view.
        side: side of the square frames in pixels.
    """
    recognizer.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        recognizer(torch.empty(1, segments, 3, side, side, device="meta"))
    flops: int = counter.get_total_flops()
    return flops / 1e9


def _run_head(detector: Detector, cells: int, slots: int, bank_channels: int, objects: int) -> None:
    head, device = detector.head, "meta"
    window = None
    if head.needs & {"window", "objects"}:
        # Attention groups persons by window, which needs real index values, so the head cannot run on the meta device.
        device = "cpu"
        _zeros(head)
    if "window" in head.needs:
        mask, owner = torch.ones(1, slots, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
        window = BankWindow(torch.zeros(1, slots, bank_channels), mask, owner)
    seen = None
    if "objects" in head.needs:
        mask = torch.ones(1, objects, dtype=torch.bool)
        seen = ObjectRows(torch.zeros(1, objects, detector.roi_channels), mask)
    cut = detector.roi.output_size
    context = Context(
        clip_index=torch.zeros(1, dtype=torch.long, device=device),
        window=window,
        feature_map=torch.zeros(1, detector.backbone.out_channels, cells, cells, device=device),
        objects=seen,
    )
    head(torch.zeros(1, detector.roi_channels, 1, cut, cut, device=device), context)


def _zeros(module: nn.Module) -> None:
    module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.zero_()

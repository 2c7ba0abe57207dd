"""Score the persons of one clip that is given as an array."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision
from pipeline.features.object_boxes import object_boxes
from pipeline.models.context import BankWindow, Context, ObjectRows
from pipeline.models.detector import Detector
from pipeline.predict.load_model import Model
from pipeline.predict.typed_results import Person, shown_actions
from pipeline.scoring.settings import score_settings
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import inference_clip


def predict_clip(model: Model, frames: NDArray[np.uint8], boxes_xyxy: NDArray[np.floating[Any]]) -> tuple[Person, ...]:
    """Score the persons of one clip; windows are empty, and there are no objects.

    Args:
        model: see `Model`.
        frames: RGB [T, H, W, 3], the T frames that the model expects, of any size.
        boxes_xyxy: [n, 4], normalised, on the middle frame (number T // 2).

    Raises:
        InputError: an array is of another type, shape or number of frames, or a box is not in [0, 1].
    """
    clip = model.producer.clip if model.producer else model.spec.clip
    _check(frames, boxes_xyxy, clip)
    if not len(boxes_xyxy):
        return ()
    pixels, boxes = inference_clip(
        frames,
        np.asarray(boxes_xyxy, np.float64),
        short_side=clip.short_side,
        long_side=clip.long_side,
        shape=clip.shape,
        mean=clip.mean,
        std=clip.std,
    )
    device, dtype = model.predictor.hardware.device, model.settings.compute_dtype
    with torch.no_grad(), compute_precision(device, dtype):
        logits = _logits(model, pixels[None].to(device), boxes.to(device))
    scores = score_settings(model.spec.labels, device, dtype).scores(logits).cpu().numpy()
    found = []
    for box, row in zip(np.asarray(boxes_xyxy, np.float64).tolist(), scores, strict=True):
        x1, y1, x2, y2 = box
        found.append(Person((x1, y1, x2, y2), 1.0, None, shown_actions(row, model.labels, model.thresholds), row))
    return tuple(found)


def _logits(model: Model, clips: Tensor, boxes: Tensor) -> Tensor:
    index = torch.zeros(len(boxes), dtype=torch.int64, device=clips.device)
    window, objects = _empty_window(model, index), model.spec.head.objects
    network = model.predictor.model
    if isinstance(network, Detector):
        none = object_boxes(np.full((1, objects.per_keyframe, 4), np.nan, np.float32)) if objects else None
        logits: Tensor = network(clips, boxes, index, window, None if none is None else none.to(clips.device))
        return logits
    assert model.producer is not None  # a head alone scores its rows
    rows = model.producer.detector.features(clips, boxes, index)
    stored = rows.half().float() if model.settings.bank.dtype == "fp16" else rows  # as rows of a bank
    things = None
    if objects:
        mask = torch.zeros(1, objects.per_keyframe, dtype=torch.bool, device=clips.device)
        things = ObjectRows(stored.new_zeros(*mask.shape, stored.shape[1]), mask)
    scored: Tensor = network(stored, Context(index, window, objects=things))
    return scored


def _empty_window(model: Model, index: Tensor) -> BankWindow | None:
    window = model.spec.head.window
    if window is None:
        return None
    assert model.producer is not None  # it makes the rows
    slots, channels = window.seconds * window.per_second, model.producer.detector.roi_channels
    rows = torch.zeros(1, slots, channels, device=index.device)
    return BankWindow(rows, torch.zeros(1, slots, dtype=torch.bool, device=index.device), index)


def _check(frames: NDArray[Any], boxes_xyxy: NDArray[Any], clip: ClipInput) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise InputError(f"clip: found {frames.dtype} {frames.shape}, expected uint8 (T, height, width, 3), RGB")
    if len(frames) != clip.frames:
        raise InputError(
            f"clip: found {len(frames)} frames, expected {clip.frames}, every {clip.interval} of the model's grid"
        )
    if boxes_xyxy.ndim != 2 or boxes_xyxy.shape[1] != 4:
        raise InputError(f"boxes: found shape {boxes_xyxy.shape}, expected (n, 4)")
    inside = (boxes_xyxy >= 0) & (boxes_xyxy <= 1)
    if not inside.all() or not (boxes_xyxy[:, :2] < boxes_xyxy[:, 2:]).all():
        raise InputError("boxes: expected x1 < x2 and y1 < y2 in [0, 1], as shares of the frame")

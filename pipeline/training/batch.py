"""The batch of one training forward pass."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pipeline.models.context import BankWindow, ObjectBoxes, ObjectRows
from pipeline.models.settings import Labels
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import send_pixels


@dataclass(frozen=True)
class Batch:
    """B keyframes with their R labelled boxes.

    Either `clips` and `boxes_xyxy` are given (the whole detector runs), or `rows` (stored features; only the head
    runs).
    """

    labels: Tensor  # [R, classes] float32, multi-hot
    clip_index: Tensor  # [R] int64: the keyframe of each box
    clips: Tensor | None = None  # [B, 3, T, H, W] float32, normalised; with `pixels_of` [B, T, 3, H, W]
    pixels_of: ClipInput | None = None  # the clips are pixels, which `to` normalises as this says
    boxes_xyxy: Tensor | None = None  # [R, 4] float32, pixels of the clip
    rows: Tensor | None = None  # [R, C] float32
    keyframes: Tensor | None = None  # [B] int64 beside clips: the number of each keyframe among those of training
    window: BankWindow | None = None  # overwritten when the next batch is made
    objects: ObjectRows | None = None  # beside rows, for a head that reads objects
    object_boxes: ObjectBoxes | None = None  # beside clips, for a head that reads objects

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to another device."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values.pop("pixels_of")
        if self.clips is not None and self.pixels_of is not None:
            values.pop("clips")
            clips = send_pixels(self.clips, device, self.pixels_of.mean, self.pixels_of.std)
        else:
            clips = None
        moved = {name: value.to(device, non_blocking=True) for name, value in values.items() if value is not None}
        return replace(self, **moved) if clips is None else replace(self, **moved, clips=clips, pixels_of=None)


def rows_of_batch(labels: Labels) -> Callable[[Batch], int] | None:
    """Return the function that counts by what the sum of a step's losses is divided (`Task.count_of`).

    None: the loss of a part is a mean already, and every part counts as one. Labels in groups: the rows with a label.
    """
    return (lambda batch: int((batch.labels > 0).any(dim=1).sum())) if labels.kind == "grouped" else None

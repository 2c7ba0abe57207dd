"""AlphAction's arithmetic of boxes: a box includes its last pixel, so one of x1 = x2 is a pixel wide.

Ours end where their last pixel ends; only fixtures and files of AlphAction are read with these rules. Boxes are
[n, 4] in pixels, float64.
"""

from typing import Any

import numpy as np

Boxes = np.ndarray[Any, np.dtype[np.float64]]


def flipped(boxes_xyxy: Boxes, width: int) -> Boxes:
    """Mirror boxes left to right in a frame."""
    mirrored = boxes_xyxy.copy()
    mirrored[:, [0, 2]] = width - 1 - boxes_xyxy[:, [2, 0]]
    return mirrored


def clipped(boxes_xyxy: Boxes, width: int, height: int) -> Boxes:
    """Cut boxes at the first and last pixel of a frame, and leave out those that have no width or no height then."""
    cut = np.clip(boxes_xyxy, 0, [width - 1, height - 1] * 2)
    return cut[(cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])]


def to_xywh(boxes_xyxy: Boxes) -> Boxes:
    """Return corner and size; the size counts both border pixels."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] + 1], axis=1)


def resized(boxes_xyxy: Boxes, old: tuple[int, int], new: tuple[int, int]) -> Boxes:
    """Scale boxes from a frame of one (width, height) to one of another."""
    scale_4: Boxes = np.tile(np.array(new) / np.array(old), 2)
    return boxes_xyxy * scale_4

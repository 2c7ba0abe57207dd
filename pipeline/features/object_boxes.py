"""Put the boxes of objects of several clips into one tensor, for a head that reads objects."""

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.context import ObjectBoxes


def object_boxes(boxes_xyxy: NDArray[np.float32]) -> ObjectBoxes:
    """Return the objects of a batch of clips; the order of those that remain stays, and empty places follow them.

    Args:
        boxes_xyxy: [B, K, 4] in pixels of the clips. A place that holds NaN is empty, and so is one whose box has no
            area, as that of an object outside the crop.
    """
    mask = (boxes_xyxy[..., 2] > boxes_xyxy[..., 0]) & (boxes_xyxy[..., 3] > boxes_xyxy[..., 1])
    order = np.argsort(~mask, axis=1, kind="stable")
    mask = np.take_along_axis(mask, order, 1)
    boxes = np.take_along_axis(boxes_xyxy, order[..., None], 1)
    return ObjectBoxes(torch.from_numpy(np.where(mask[..., None], boxes, 0)), torch.from_numpy(mask))

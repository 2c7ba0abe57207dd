"""Draw the boxes of persons and of a detector into pictures of keyframes."""

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from pipeline.video.clip_indices import clip_indices
from pipeline.video.store import FrameStore

LEAST_SIDE = 360
QUALITY = 85
NAME_HEIGHT = 14
PERSON_COLOUR, BOX_COLOUR = (0, 200, 0), (255, 120, 0)


def keyframe_picture(
    store: FrameStore,
    video_id: str,
    time_seconds: float,
    *,
    persons_xyxy: NDArray[np.float64],
    boxes_xyxy: NDArray[np.float64],
) -> bytes:
    """Return a JPEG of the frame at a time; small frames are enlarged by an integer factor.

    Args:
        store: the frames.
        video_id: the video.
        time_seconds: from the start of the film.
        persons_xyxy: [n, 4] normalised; drawn in green as P1, P2, ...
        boxes_xyxy: [m, 4] normalised; drawn in orange as D1, D2, ...

    Raises:
        InputError: the video is not in the store, or its file is damaged.
    """
    total = store.grid_frames(video_id)
    (index,) = clip_indices(time_seconds, fps=store.fps, frames=1, interval=1, total=total)
    frame = store.read_clip(video_id, [int(index)])[0]
    factor = max(1, -(-LEAST_SIDE // min(frame.shape[:2])))
    image = torch.from_numpy(frame.repeat(factor, axis=0).repeat(factor, axis=1)).permute(2, 0, 1).contiguous()
    image = _drawn(image, boxes_xyxy, "D", BOX_COLOUR, below=True)
    image = _drawn(image, persons_xyxy, "P", PERSON_COLOUR, below=False)
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB")
    return jpeg


def _drawn(
    image: torch.Tensor, boxes_xyxy: NDArray[np.float64], letter: str, colour: tuple[int, int, int], *, below: bool
) -> torch.Tensor:
    """Draw boxes with names in the upper or the lower left corner, so that the names of two equal boxes are legible."""
    if not len(boxes_xyxy):
        return image
    from torchvision.utils import draw_bounding_boxes  # a second of CPU time, which other reports do without

    height, width = image.shape[1:]
    pixels = np.clip(boxes_xyxy, 0, 1) * [width, height, width, height]
    pixels[:, 2:] = np.maximum(pixels[:, 2:], pixels[:, :2] + 1)
    corners = np.stack([pixels[:, 0], np.maximum(pixels[:, 3] - NAME_HEIGHT, 0) if below else pixels[:, 1]], axis=1)
    image = draw_bounding_boxes(image, torch.from_numpy(pixels), colors=colour, width=2)
    drawn: torch.Tensor = draw_bounding_boxes(
        image,
        torch.from_numpy(np.concatenate([corners, corners + 1], axis=1)),
        labels=[f"{letter}{number}" for number in range(1, len(pixels) + 1)],
        colors=colour,
        fill_labels=True,
    )
    return drawn

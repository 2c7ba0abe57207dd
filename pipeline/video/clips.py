"""Clips: choose their frames on the grid, and turn them and their boxes into a network's input.

The arithmetic of indices and boxes is that of MMAction2 1.2.0 (`SampleAVAFrames`, `Resize`, `RandomRescale`,
`RandomCrop`, `Flip`).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.video.clip_input import ClipInput
from pipeline.video.colour import shift_hsv
from pipeline.video.size import scaled_size


def clip_indices(
    time_seconds: float,
    *,
    fps: float,
    frames: int,
    interval: int,
    total: int,
    rng: np.random.Generator | None = None,
    offset_frames: int = 0,
) -> NDArray[np.int64]:
    """Compute the grid indices of the clip around a time.

    The frame at `frames // 2` is the one at `time_seconds`. Indices outside the film repeat its first or last frame.

    Args:
        time_seconds: the clip's centre, from the start of the film.
        fps: grid frames per second.
        frames: T of a clip TxS.
        interval: S, in grid frames.
        total: number of grid frames of the film.
        rng: for training: moves each frame by up to half an interval; `frames` integers are drawn.
        offset_frames: shifts the clip, before indices are limited to the film. 1 reproduces upstream on AVA, which
            counts the first frame's number twice; -1 reproduces it on AVA-Kinetics, where that number is not counted.

    Returns:
        [frames], in [0, total).
    """
    centre = int(np.floor(time_seconds * fps + 0.5))
    indices = centre + (np.arange(frames) - frames // 2) * interval + offset_frames
    if rng is not None:
        indices = indices + rng.integers(-interval // 2, (interval + 1) // 2, size=frames)
    return indices.clip(0, total - 1).astype(np.int64)


def inference_clip(
    clip: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.floating],
    *,
    short_side: int,
    mean: Sequence[float],
    std: Sequence[float],
    long_side: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Scale a clip to a short side and normalise it; nothing is cropped.

    Args:
        clip: RGB uint8 [T, height, width, 3].
        boxes_xyxy: [n, 4], normalised to [0, 1].
        short_side: pixels.
        mean: RGB, of values 0 to 255.
        std: RGB, of values 0 to 255.
        long_side: largest long side in pixels.

    Returns:
        float32 clip [3, T, h, w]; float32 boxes [n, 4] in pixels of it.
    """
    size = scaled_size(clip.shape[1], clip.shape[2], short_side, long_side)
    return _normalise(_scale(clip, size), mean, std), torch.from_numpy(_pixel_boxes(boxes_xyxy, clip, size))


def training_clip(
    clip: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.floating],
    settings: ClipInput,
    *,
    rng: np.random.Generator,
    short_side: tuple[int, int],
    crop: int | None,
    flip: float,
    colour: float | tuple[float, float, float],
) -> tuple[Tensor, Tensor]:
    """Scale a clip to a random short side, crop it, flip it, change its colours, and normalise it.

    The same numbers are drawn from `rng` for every combination of options (shifts of hue, saturation and value take one
    more than brightness and contrast), so one option does not affect the others.
    Boxes are limited to [0, crop - 1]: a box outside the crop is kept without area, as upstream.

    Args:
        clip: RGB uint8 [T, height, width, 3].
        boxes_xyxy: [n, 4], normalised to [0, 1].
        settings: gives `long_side`, `mean` and `std`; its short side is that of inference.
        rng: all randomness.
        short_side: smallest and largest short side in pixels, both inclusive.
        crop: side of the random square in pixels; None keeps the whole frame.
        flip: probability of a horizontal flip.
        colour: largest relative change of brightness, and of contrast; or largest shifts of hue (degrees), saturation
            and value (shares of their range).

    Returns:
        float32 clip [3, T, h, w]; float32 boxes [n, 4] in pixels of it.

    Raises:
        ValueError: the crop is larger than the smallest short side (the parameters refuse that earlier).
    """
    side = int(rng.integers(short_side[0], short_side[1] + 1))
    place_y, place_x, flip_draw = rng.random(3).tolist()
    colour_draw = rng.uniform(-1, 1, 3 if isinstance(colour, tuple) else 2)
    if crop is not None and crop > short_side[0]:
        raise ValueError(f"a crop of {crop} from a short side of {short_side[0]}")
    size = scaled_size(clip.shape[1], clip.shape[2], side, settings.long_side)
    boxes, frames = _pixel_boxes(boxes_xyxy, clip, size), _scale(clip, size)
    if crop is not None:
        # One of the (height - crop + 1) places, all equally likely.
        y = int(place_y * (frames.shape[2] - crop + 1))
        x = int(place_x * (frames.shape[3] - crop + 1))
        frames = frames[:, :, y : y + crop, x : x + crop]
        boxes = (boxes - np.array([x, y, x, y], np.float32)).clip(0, crop - 1)
    if flip_draw < flip:
        frames = frames.flip(3)
        boxes = np.stack([frames.shape[3] - boxes[:, 2], boxes[:, 1], frames.shape[3] - boxes[:, 0], boxes[:, 3]], 1)
    frames = _changed(frames, colour, colour_draw)
    return _normalise(frames, settings.mean, settings.std), torch.from_numpy(boxes)


def _changed(frames: Tensor, colour: float | tuple[float, float, float], draw: NDArray[np.float64]) -> Tensor:
    """Change the colours of [T, 3, h, w]; `draw` has a number of -1 to 1 for each change."""
    if isinstance(colour, tuple):
        hue, saturation, value = (np.array(colour) * draw).tolist()
        return shift_hsv(frames, hue=hue, saturation=saturation, value=value) if any(colour) else frames
    if not colour:
        return frames
    brightness, contrast = (1 + colour * draw).tolist()
    frames = frames.float() * brightness
    middle = frames.mean()
    return frames.sub_(middle).mul_(contrast).add_(middle).clamp_(0, 255)


def _pixel_boxes(
    boxes_xyxy: NDArray[np.floating], clip: NDArray[np.uint8], size: tuple[int, int]
) -> NDArray[np.float32]:
    # In upstream's order and precision: to pixels of the frame in float64, then of the scaled frame in float32.
    (height, width), (new_height, new_width) = clip.shape[1:3], size
    pixels = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) * [width, height, width, height]
    return pixels.astype(np.float32) * np.array([new_width / width, new_height / height] * 2, np.float32)


def _scale(clip: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Scale to a (height, width) by bilinear interpolation between pixel centres, as cv2.INTER_LINEAR: no antialiasing.

    The result is uint8 [T, 3, h, w] with channels last in memory. Computing in bytes, as upstream, is several times
    faster than in float32, and differs from it by at most 1 of 255.
    """
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2)
    if size == tuple(clip.shape[1:3]):
        return frames
    return torch.nn.functional.interpolate(frames, size=size, mode="bilinear", align_corners=False)


def _normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalise [T, 3, h, w] with values 0 to 255 into [3, T, h, w], contiguous."""
    centre = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32).view(3, 1, 1, 1)
    planes = frames.permute(1, 0, 2, 3)
    return torch.empty(planes.shape, dtype=torch.float32).copy_(planes).sub_(centre).div_(scale)

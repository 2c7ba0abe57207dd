"""Clips: turn their frames and boxes into a network's input.

The arithmetic of boxes is that of MMAction2 1.2.0 (`Resize`, `RandomRescale`, `RandomCrop`, `Flip`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.video.clip_input import ClipInput
from pipeline.video.colour import shift_hsv
from pipeline.video.size import Shape, scaled_size


def inference_clip(
    clip: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.floating],
    *,
    short_side: int,
    mean: Sequence[float],
    std: Sequence[float],
    long_side: int | None = None,
    shape: Shape = "film",
) -> tuple[Tensor, Tensor]:
    """Scale a clip to a short side and normalise it; nothing is cropped.

    Args:
        clip: RGB uint8 [T, height, width, 3].
        boxes_xyxy: [n, 4], normalised to [0, 1].
        short_side: pixels.
        mean: RGB, of values 0 to 255.
        std: RGB, of values 0 to 255.
        long_side: largest long side in pixels.
        shape: see `ClipInput`.

    Returns:
        float32 clip [3, T, h, w]; float32 boxes [n, 4] in pixels of it.
    """
    frames, pixel_boxes = scaled_clip(clip, boxes_xyxy, short_side=short_side, long_side=long_side, shape=shape)
    return normalise(frames, mean, std, channels=0), pixel_boxes


def scaled_clip(
    clip: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.floating],
    *,
    short_side: int,
    long_side: int | None = None,
    shape: Shape = "film",
) -> tuple[Tensor, Tensor]:
    """Scale a clip to a short side, for a device that normalises; arguments are those of `inference_clip`.

    Returns:
        uint8 clip [T, 3, h, w]; float32 boxes [n, 4] in pixels of it.
    """
    size = scaled_size(clip.shape[1], clip.shape[2], short_side, long_side, shape)
    return _scale(clip, size), torch.from_numpy(_pixel_boxes(boxes_xyxy, clip, size))


def normalises_itself(device: torch.device) -> bool:
    """Return whether clips go to a device as pixels, a quarter of the bytes; a CPU normalises them where it reads."""
    return device.type == "cuda"


def stack_pixels(clips: Sequence[Tensor]) -> Tensor:
    """Return clips [T, 3, h, w] with channels last in memory as [B, T, 3, h, w], in the same order of bytes."""
    return torch.stack([each.permute(0, 2, 3, 1) for each in clips]).permute(0, 1, 4, 2, 3)


def send_pixels(clips: Tensor, device: torch.device, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Copy clips to a device and normalise them there, with the bits that `inference_clip` and `training_clip` give.

    Args:
        clips: [B, T, 3, h, w] with values 0 to 255; a GPU gets them through page-locked memory.
        device: of the result.
        mean: see `inference_clip`.
        std: see `inference_clip`.

    Returns:
        float32 [B, 3, T, h, w], contiguous.
    """
    if device.type == "cuda" and not clips.is_cuda:
        clips = clips.pin_memory()
    return normalise(clips.to(device, non_blocking=True), mean, std, channels=-4)


@dataclass(frozen=True)
class ClipDraw:
    """What is drawn at random for one training clip."""

    short_side: int
    "Pixels."
    crop: int | None
    "Side of the square in pixels; None keeps the whole frame."
    place_y: float
    "In [0, 1): the place of the square; all its places are equally likely."
    place_x: float
    is_flipped: bool
    brightness: float
    "Factor of all values."
    contrast: float
    "Factor of their distances from the mean."
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    "Of hue in degrees, of saturation and of value as shares of their range."
    long_side: int | None = None
    "Largest long side in pixels."
    shape: Shape = "film"

    def size(self, clip: NDArray[np.uint8]) -> tuple[int, int]:
        """Return (height, width) in pixels to which a clip [T, H, W, 3] is scaled, before it is cropped."""
        return scaled_size(clip.shape[1], clip.shape[2], self.short_side, self.long_side, self.shape)


def draw_clip(
    rng: np.random.Generator,
    *,
    short_side: tuple[int, int],
    crop: int | None,
    flip: float,
    colour: float | tuple[float, float, float],
    long_side: int | None = None,
    shape: Shape = "film",
) -> ClipDraw:
    """Draw how a training clip is changed.

    The same numbers are drawn from `rng` for every combination of options (shifts of hue, saturation and value take one
    more than brightness and contrast), so one option does not affect the others.

    Args:
        rng: all randomness.
        short_side: smallest and largest short side in pixels, both inclusive.
        crop: side of the random square crop in pixels; None keeps the whole frame.
        flip: probability of a horizontal flip.
        colour: largest relative change of brightness, and of contrast; or largest shifts of hue (degrees), saturation
            and value (shares of their range).
        long_side: largest long side in pixels.
        shape: see `ClipInput`.

    Raises:
        ValueError: the crop is larger than the smallest short side (the parameters refuse that earlier).
    """
    side = int(rng.integers(short_side[0], short_side[1] + 1))
    place_y, place_x, flip_draw = rng.random(3).tolist()
    brightness, contrast, shift = 1.0, 1.0, (0.0, 0.0, 0.0)
    if isinstance(colour, tuple):
        hue, saturation, value = (np.array(colour) * rng.uniform(-1, 1, 3)).tolist()
        shift = (hue, saturation, value)
    else:
        brightness, contrast = (1 + colour * rng.uniform(-1, 1, 2)).tolist()
    if crop is not None and crop > short_side[0]:
        raise ValueError(f"a crop of {crop} from a short side of {short_side[0]}")
    return ClipDraw(side, crop, place_y, place_x, flip_draw < flip, brightness, contrast, shift, long_side, shape)


def training_clip(clip: NDArray[np.uint8], settings: ClipInput, draw: ClipDraw) -> Tensor:
    """Change a clip as `changed_clip` does, and normalise it.

    Args:
        clip: RGB uint8 [T, height, width, 3].
        settings: gives `mean` and `std`; its short side is that of inference.
        draw: what is done.

    Returns:
        float32 [3, T, h, w].
    """
    return normalise(changed_clip(clip, draw), settings.mean, settings.std, channels=0)


def changed_clip(clip: NDArray[np.uint8], draw: ClipDraw) -> Tensor:
    """Scale a clip, crop it, flip it and change its colours: [T, 3, h, w], values 0 to 255, uint8 if no colour changes.

    Arguments are those of `training_clip`.
    """
    frames = _scale(clip, draw.size(clip))
    if draw.crop is not None:
        x, y = _corner(draw, frames.shape[2], frames.shape[3])
        frames = frames[:, :, y : y + draw.crop, x : x + draw.crop]
    if draw.is_flipped:
        frames = frames.flip(3)
    if (draw.brightness, draw.contrast) != (1, 1):
        frames = frames.float() * draw.brightness
        middle = frames.mean()
        frames = frames.sub_(middle).mul_(draw.contrast).add_(middle).clamp_(0, 255)
    if any(draw.shift):
        hue, saturation, value = draw.shift
        frames = shift_hsv(frames, hue=hue, saturation=saturation, value=value)
    return frames


def training_boxes(boxes_xyxy: NDArray[np.floating], clip: NDArray[np.uint8], draw: ClipDraw) -> NDArray[np.float32]:
    """Put boxes where `training_clip` puts what they show.

    They are limited to [0, crop - 1]: a box outside the crop is kept without area, as upstream.

    Args:
        boxes_xyxy: [n, 4], normalised to [0, 1].
        clip: the clip before it is changed.
        draw: what is done to it.

    Returns:
        float32 [n, 4] in pixels of the changed clip.
    """
    height, width = draw.size(clip)
    boxes = _pixel_boxes(boxes_xyxy, clip, (height, width))
    if draw.crop is not None:
        x, y = _corner(draw, height, width)
        boxes = (boxes - np.array([x, y, x, y], np.float32)).clip(0, draw.crop - 1)
        width = draw.crop
    if draw.is_flipped:
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    return boxes


def _corner(draw: ClipDraw, height: int, width: int) -> tuple[int, int]:
    """Return x and y of the crop: one of the (height - crop + 1) and (width - crop + 1) places."""
    assert draw.crop is not None
    return int(draw.place_x * (width - draw.crop + 1)), int(draw.place_y * (height - draw.crop + 1))


def _pixel_boxes(
    boxes_xyxy: NDArray[np.floating], clip: NDArray[np.uint8], size: tuple[int, int]
) -> NDArray[np.float32]:
    # In upstream's order and precision: to pixels of the frame in float64, then of the scaled frame in float32.
    (height, width), (new_height, new_width) = clip.shape[1:3], size
    pixels = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) * [width, height, width, height]
    return pixels.astype(np.float32) * np.array([new_width / width, new_height / height] * 2, np.float32)


def _scale(clip: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Scale [T, height, width, 3] to uint8 [T, 3, h, w] with channels last in memory."""
    return resize(torch.from_numpy(clip).permute(0, 3, 1, 2), size)


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale uint8 [T, 3, h, w] to a (height, width) by bilinear interpolation between pixel centres.

    As cv2.INTER_LINEAR: no antialiasing. Channels should be last in memory. Computing in bytes, as upstream, is several
    times faster than in float32, and differs from it by at most 1 of 255.
    """
    if size == tuple(frames.shape[2:]):
        return frames
    return torch.nn.functional.interpolate(frames, size=size, mode="bilinear", align_corners=False)


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float], *, channels: int = -3) -> Tensor:
    """Normalise [..., 3, h, w] with values 0 to 255 into contiguous float32, on their device.

    The result has its channels in place `channels`: 0 puts them first.
    """
    planes = frames.movedim(-3, channels)
    shape = [3 if each == channels % planes.dim() else 1 for each in range(planes.dim())]
    centre, scale = (torch.tensor(each, dtype=torch.float32, device=planes.device).view(shape) for each in (mean, std))
    return torch.empty(planes.shape, dtype=torch.float32, device=planes.device).copy_(planes).sub_(centre).div_(scale)

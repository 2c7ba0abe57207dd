"""Shift the colours of frames in HSV: hue, saturation and value."""

import torch
from torch import Tensor

SEXTANT = 60.0
"Degrees of hue from one corner of the colour circle to the next."


def shift_hsv(frames: Tensor, *, hue: float, saturation: float, value: float) -> Tensor:
    """Shift hue, saturation and value of every pixel by the same amounts.

    Saturation and value are limited to their range. A grey pixel has hue 0, so that a higher saturation reddens it.

    Args:
        frames: RGB [T, 3, h, w], of values 0 to 255, any type.
        hue: degrees.
        saturation: share of its range.
        value: share of its range.

    Returns:
        float32, of the same shape.
    """
    shifted = torch.empty(frames.shape, dtype=torch.float32)
    for frame, out in zip(frames, shifted, strict=True):  # one by one, so that intermediate planes stay small
        red, green, blue = frame.float()
        most = torch.maximum(torch.maximum(red, green), blue)
        range_ = most - torch.minimum(torch.minimum(red, green), blue)
        divisor = range_.clamp_min(1e-6)
        sextant = torch.where(
            most == red,
            (green - blue) / divisor,
            torch.where(most == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
        )
        new_value = (most + 255 * value).clamp_(0, 255)
        chroma = new_value * (range_ / most.clamp_min(1e-6) + saturation).clamp_(0, 1)
        for channel, corner in zip(out, (5, 3, 1), strict=True):
            place = (corner + hue / SEXTANT + sextant) % 6
            channel.copy_(new_value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1))
    return shifted

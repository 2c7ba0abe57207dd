"""Frames as a decoder gives them, made from RGB in float64, and what they show."""

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.video.decode import Picture
from pipeline.video.probe import UPRIGHT
from pipeline.video.samples import FORMATS, FULL_RANGE, MATRICES

LUMA = np.array([0.299, 0.587, 0.114])


def coded(
    rgb: NDArray[Any], pixel_format: str = "yuv420p", *, matrix: int = 2, full_range: bool = False, padding: int = 0
) -> Picture:
    """A frame that shows RGB [height, width, 3] of 0 to 255; colours of halved sides are means of their pixels."""
    samples = FORMATS[pixel_format]
    red, blue = MATRICES[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    cb, cr = (rgb[..., 2] - y) / (2 * (1 - blue)), (rgb[..., 0] - y) / (2 * (1 - red))
    for halved, axis in ((samples.halved_rows, 0), (True, 1)):
        if halved:
            cb, cr = (each.reshape(*_pairs(each.shape, axis)).mean(axis + 1) for each in (cb, cr))
    is_full = full_range or samples.full_range
    top, step = 2**samples.bits - 1, 2 ** (samples.bits - 8)
    luma = y * top / 255 if is_full else step * (16 + y * 219 / 255)
    chroma = [128 * step + each * (top / 255 if is_full else step * 224 / 255) for each in (cb, cr)]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pixel_format)
    kind = np.uint8 if samples.bits == 8 else np.uint16
    for plane, values in zip(frame.planes, (luma, *chroma), strict=True):
        rows = np.full((plane.height, plane.line_size // kind().itemsize), padding, kind)
        rows[:, : plane.width] = values.round().clip(0, top)
        plane.update(rows.tobytes())
    frame.colorspace = matrix
    frame.color_range = FULL_RANGE if full_range else 1
    return Picture(frame, rgb.shape[0], rgb.shape[1], UPRIGHT)


def _pairs(shape: tuple[int, ...], axis: int) -> list[int]:
    return [*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :]]


def psnr(picture: NDArray[Any], exact: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in decibels."""
    return float(10 * np.log10(255**2 / ((picture.astype(float) - exact) ** 2).mean()))

"""Shifts in HSV against Python's own arithmetic of colours."""

import colorsys

import numpy as np
import pytest
import torch

from pipeline.video.colour import shift_hsv


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (20.0, 0.1, 0.1), (-20.0, -0.1, 0.05), (180.0, 0.9, -0.9)])
def test_every_pixel_is_shifted_as_by_hand(shift: tuple[float, float, float]) -> None:
    hue, saturation, value = shift
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7), np.uint8)
    frames[0, :, 0] = np.array([[0, 128, 255, 0, 255, 9, 9]])  # grey
    found = shift_hsv(torch.from_numpy(frames), hue=hue, saturation=saturation, value=value)
    assert found.dtype == torch.float32
    pixels, shifted = frames.transpose(0, 2, 3, 1).reshape(-1, 3), found.permute(0, 2, 3, 1).reshape(-1, 3)
    for pixel, new in zip(pixels, shifted, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
        wanted = colorsys.hsv_to_rgb((h + hue / 360) % 1, np.clip(s + saturation, 0, 1), np.clip(v + value, 0, 1))
        np.testing.assert_allclose(new.numpy() / 255, wanted, atol=1e-5)

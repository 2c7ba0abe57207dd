"""Make the pictures of a film: figures that walk before a still, textured scene."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.base.randomness import rng_of

FIGURES = 2


def walking_figures(count: int, height: int, width: int, *, rate: int, grain: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures [height, width, 3], `rate` a second; `grain` is the largest value of a noise that moves."""
    rng = rng_of("benchmark of predict")
    small = rng.integers(60, 120, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    scene = np.kron(small, np.ones((16, 16, 1), np.uint8))[:height, :width]
    noise = rng.integers(0, grain + 1, (2 * height, 2 * width, 1), np.uint8)
    tall, wide = round(height * 0.4), round(height * 0.15)
    for number in range(count):
        picture = scene.copy()
        for figure in range(FIGURES):
            left = round((width - wide) * (0.5 + 0.45 * np.sin(number / rate * (0.7 + figure) + figure)))
            top = round(height * (0.1 + 0.4 * figure))
            picture[top : top + tall, left : left + wide] = (230, 40 + 180 * figure, 30)
        if grain:
            y, x = rng.integers(0, (height, width))
            picture = picture.clip(0, 255 - grain) + noise[y : y + height, x : x + width]
        yield picture

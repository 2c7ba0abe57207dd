"""Draw backgrounds (a textured wall above a textured ground, wider than the frame) and things before the figures."""

from dataclasses import dataclass

import numpy as np

from pipeline.playground.canvas import WORLD_HEIGHT
from pipeline.playground.looks import Colour, draw_colour

HORIZON = 88.0  # world units from the top


@dataclass(frozen=True)
class Occluder:
    """A post or a bush between the camera and the figures, in world units."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float
    colour: Colour


@dataclass(frozen=True)
class Backdrop:
    """The background of one scene.

    `picture` is float32 [3, height, period + width] in pixels; its last `width` columns repeat the first ones. `pan` is
    its speed in world units per second.
    """

    picture: np.ndarray
    period: int
    pan: float
    occluders: tuple[Occluder, ...]


def value_noise(rng: np.random.Generator, height: int, width: int, *, cell: int) -> np.ndarray:
    """Return smooth noise in 0 to 1, [height, width]; its right edge joins its left edge without a seam.

    Args:
        rng: the random generator.
        height: rows.
        width: columns, a multiple of `cell`.
        cell: size of a blob in pixels.
    """
    rows, columns = -(-height // cell) + 1, width // cell
    grid = rng.uniform(size=(rows, columns))
    y, x = np.arange(height) / cell, np.arange(width) / cell
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top)[:, None], (x - left)[None, :]
    down, right = down * down * (3 - 2 * down), right * right * (3 - 2 * right)
    far = (left + 1) % columns
    upper = grid[top][:, left] * (1 - right) + grid[top][:, far] * right
    lower = grid[top + 1][:, left] * (1 - right) + grid[top + 1][:, far] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _texture(rng: np.random.Generator, height: int, width: int, *, scale: float, dark: bool) -> np.ndarray:
    value = (0.3, 0.5) if dark else (0.6, 0.9)
    colours = [np.array(draw_colour(rng, saturation=(0.05, 0.3), value=value)) for _ in range(2)]
    mix = np.zeros((height, width))
    for share, cell in ((0.4, 32), (0.35, 12), (0.25, 4)):
        mix += share * value_noise(rng, height, width, cell=_cell(cell, width, scale))
    if rng.uniform() < 0.5:  # planks, or rows of bricks
        cell = _cell(int(rng.choice([12, 24])), width, scale)
        along = np.arange(width)[None] if rng.uniform() < 0.6 else np.arange(height)[:, None]
        mix = np.where(along % cell < max(1, cell // 8), 1 - mix, mix)
    mix = mix[..., None]
    return np.asarray(colours[0] * (1 - mix) + colours[1] * mix)


def _cell(units: int, width: int, scale: float) -> int:
    """Return the divisor of `width` nearest to `units`, so that the texture repeats without a seam."""
    divisors = [each for each in range(1, width + 1) if width % each == 0]
    return min(divisors, key=lambda each: abs(each - units * scale))


def draw_backdrop(rng: np.random.Generator, *, width: int, height: int) -> Backdrop:
    """Draw a random background.

    Args:
        rng: the random generator.
        width: width of the frame in pixels.
        height: height of the frame in pixels.
    """
    scale = height / WORLD_HEIGHT
    # A multiple of 96 has divisors close to every size of cell.
    period = -(-2 * width // 96) * 96
    picture = _texture(rng, height, period, scale=scale, dark=False)
    ground = round(HORIZON * scale)
    picture[ground:] = _texture(rng, height - ground, period, scale=scale, dark=True)
    occluders = []
    world_width = width / scale
    for _ in range(int(rng.integers(0, 2))):
        x = float(rng.uniform(0, world_width))
        colour = draw_colour(rng, saturation=(0.1, 0.6), value=(0.2, 0.7))
        if rng.uniform() < 0.5:
            occluders.append(Occluder((x, float(rng.uniform(30, 60))), (x, 130), float(rng.uniform(1.5, 2.5)), colour))
        else:
            half = float(rng.uniform(5, 12))
            occluders.append(Occluder((x - half, 112), (x + half, 112), float(rng.uniform(7, 11)), colour))
    pan = float(rng.choice([-1, 1]) * rng.uniform(2, 8))
    planes = np.concatenate([picture, picture[:, :width]], 1).astype(np.float32).transpose(2, 0, 1)
    return Backdrop(np.ascontiguousarray(planes), period, pan, tuple(occluders))

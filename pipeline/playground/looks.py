"""Draw what a figure wears, anew for every figure of every film, so that clothes say nothing about an action."""

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue; 0 to 255
SKINS: tuple[Colour, ...] = ((244, 208, 177), (224, 172, 105), (198, 134, 66), (141, 85, 36), (92, 58, 33))
HATS = ("none", "cap", "tall", "bun")


@dataclass(frozen=True)
class Look:
    """Colours, hat and girth of a figure."""

    skin: Colour
    shirt: Colour
    trousers: Colour
    hair: Colour
    hat_colour: Colour
    hat: str
    girth: float
    long_sleeves: bool


def draw_colour(rng: np.random.Generator, *, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """Draw a random colour of any hue.

    Args:
        rng: the random generator.
        saturation: range of the saturation, in 0 to 1.
        value: range of the brightness, in 0 to 1.
    """
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))
    return 255 * red, 255 * green, 255 * blue


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a random look."""
    return Look(
        skin=SKINS[int(rng.integers(len(SKINS)))],
        shirt=draw_colour(rng, saturation=(0.4, 1.0), value=(0.5, 1.0)),
        trousers=draw_colour(rng, saturation=(0.2, 0.8), value=(0.15, 0.6)),
        hair=draw_colour(rng, saturation=(0.2, 0.6), value=(0.1, 0.5)),
        hat_colour=draw_colour(rng, saturation=(0.6, 1.0), value=(0.4, 1.0)),
        hat=HATS[int(rng.integers(len(HATS)))],
        girth=float(rng.uniform(0.9, 1.2)),
        long_sleeves=bool(rng.integers(2)),
    )

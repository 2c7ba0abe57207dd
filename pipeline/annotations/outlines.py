"""Upright boxes around what annotation tools draw: turned boxes, polygons, ellipses, masks. Lengths in pixels."""

import math
from collections.abc import Iterable, Sequence

Sides = tuple[float, ...]
"x1, y1, x2, y2."


def around(points: Iterable[Sequence[float]]) -> Sides:
    """The box around points (x, y); there must be one."""
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def turned(box: Sides, degrees: float, pivot: tuple[float, float] | None = None) -> Sides:
    """The upright box around a box that is turned clockwise (y points down).

    Args:
        box: as it was before it was turned.
        degrees: 0 gives the box itself.
        pivot: what it is turned about; its centre where none is given.
    """
    if degrees % 360 == 0:
        return tuple(box)
    x1, y1, x2, y2 = box
    x, y = pivot or ((x1 + x2) / 2, (y1 + y2) / 2)
    cos, sin = cos_sin(degrees)
    corners = [(a - x, b - y) for a in (x1, x2) for b in (y1, y2)]
    return around([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> Sides:
    """The upright box around an ellipse that is turned about its centre."""
    cos, sin = cos_sin(degrees)
    across = math.hypot(radii[0] * cos, radii[1] * sin)
    down = math.hypot(radii[0] * sin, radii[1] * cos)
    return centre[0] - across, centre[1] - down, centre[0] + across, centre[1] + down


def clipped(box: Sides, size: tuple[float, float]) -> Sides:
    """The part of a box inside a frame of this width and height."""
    return tuple(min(max(value, 0.0), side) for value, side in zip(box, (*size, *size), strict=True))


def cos_sin(degrees: float) -> tuple[float, float]:
    """Exact for right angles, so that a box that lies on its side has whole pixels."""
    quarter, rest = divmod(degrees, 90)
    cos, sin = (1.0, 0.0) if rest == 0 else (math.cos(math.radians(rest)), math.sin(math.radians(rest)))
    for _ in range(int(quarter) % 4):
        cos, sin = -sin, cos
    return cos, sin

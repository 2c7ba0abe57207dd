"""Compute upright boxes around what annotation tools draw: rotated boxes, polygons, ellipses, masks. In pixels."""

import math
from collections.abc import Iterable, Sequence

Sides = tuple[float, ...]
"x1, y1, x2, y2."


def around(points: Iterable[Sequence[float]]) -> Sides:
    """Return the box around one or more points (x, y)."""
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def turned(box: Sides, degrees: float, pivot: tuple[float, float] | None = None) -> Sides:
    """Return the upright box around a box that is rotated clockwise (y points down).

    Args:
        box: the box before the rotation.
        degrees: the angle; 0 gives the box itself.
        pivot: the point to rotate about; by default the centre of the box.
    """
    if degrees % 360 == 0:
        return tuple(box)
    x1, y1, x2, y2 = box
    x, y = pivot or ((x1 + x2) / 2, (y1 + y2) / 2)
    cos, sin = cos_sin(degrees)
    corners = [(a - x, b - y) for a in (x1, x2) for b in (y1, y2)]
    return around([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in corners])


def ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> Sides:
    """Return the upright box around an ellipse that is rotated about its centre."""
    cos, sin = cos_sin(degrees)
    across = math.hypot(radii[0] * cos, radii[1] * sin)
    down = math.hypot(radii[0] * sin, radii[1] * cos)
    return centre[0] - across, centre[1] - down, centre[0] + across, centre[1] + down


def clipped(box: Sides, size: tuple[float, float]) -> Sides:
    """Return the part of a box inside a frame of this width and height."""
    return tuple(min(max(value, 0.0), side) for value, side in zip(box, (*size, *size), strict=True))


def cos_sin(degrees: float) -> tuple[float, float]:
    """Return cosine and sine, exact for right angles, so that a box rotated by 90 degrees keeps whole pixels."""
    quarter, rest = divmod(degrees, 90)
    cos, sin = (1.0, 0.0) if rest == 0 else (math.cos(math.radians(rest)), math.sin(math.radians(rest)))
    for _ in range(int(quarter) % 4):
        cos, sin = -sin, cos
    return cos, sin

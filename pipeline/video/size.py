"""Compute the size of a frame that is scaled to a short side."""

from collections.abc import Mapping
from typing import Literal

SHOWN_FILMS = 3
Shape = Literal["film", "square"]


def scaled_size(
    height: int, width: int, short_side: int, long_side: int | None = None, shape: Shape = "film"
) -> tuple[int, int]:
    """Return (height, width) with the given short side; the other side is rounded half up, as mmcv's `rescale_size`.

    With a largest long side the rule is AlphAction's: where the other side would be longer than that, the short side
    becomes smaller (rounded), and the other side is rounded down. A square has the short side twice.
    """
    if shape == "square":
        return short_side, short_side
    if long_side is None:
        scale = short_side / min(height, width)
        return int(height * scale + 0.5), int(width * scale + 0.5)
    least, most = sorted((height, width))
    if short_side * most / least > long_side:
        short_side = round(long_side * least / most)
    long = int(short_side * most / least)
    return (short_side, long) if height <= width else (long, short_side)


def stored_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Return (height, width) of a stored frame: scaled down to a short side, never up; None keeps the size."""
    if short_side is None or min(height, width) <= short_side:
        return height, width
    return scaled_size(height, width, short_side)


def clip_sizes(
    frames: Mapping[str, tuple[int, int]], short_side: int, long_side: int | None = None, shape: Shape = "film"
) -> dict[tuple[int, int], list[str]]:
    """Group films by the (height, width) of their scaled, uncropped clips; the most common size comes first.

    Args:
        frames: (height, width) of each film's frames.
        short_side: short side of the clips, in pixels.
        long_side: largest long side of the clips, in pixels.
        shape: of the clips.
    """
    films: dict[tuple[int, int], list[str]] = {}
    for video_id, (height, width) in sorted(frames.items()):
        films.setdefault(scaled_size(height, width, short_side, long_side, shape), []).append(video_id)
    return dict(sorted(films.items(), key=lambda each: -len(each[1])))


def sizes_in_words(films: Mapping[tuple[int, int], list[str]]) -> str:
    """Format sizes and films as `171x96 (a, b), 96x171 (c)`, width before height."""
    shown = [
        f"{width}x{height} ({', '.join(names[:SHOWN_FILMS])}{', ...' if len(names) > SHOWN_FILMS else ''})"
        for (height, width), names in list(films.items())[:SHOWN_FILMS]
    ]
    return ", ".join(shown) + (", ..." if len(films) > SHOWN_FILMS else "")

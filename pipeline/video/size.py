"""Compute the size of a frame that is scaled to a short side."""

from collections.abc import Mapping

SHOWN_FILMS = 3


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the given short side; the other side is rounded half up, as mmcv's `rescale_size`."""
    scale = short_side / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def clip_sizes(frames: Mapping[str, tuple[int, int]], short_side: int) -> dict[tuple[int, int], list[str]]:
    """Group films by the (height, width) of their scaled, uncropped clips; the most common size comes first.

    Args:
        frames: (height, width) of each film's frames.
        short_side: short side of the clips, in pixels.
    """
    films: dict[tuple[int, int], list[str]] = {}
    for video_id, (height, width) in sorted(frames.items()):
        films.setdefault(scaled_size(height, width, short_side), []).append(video_id)
    return dict(sorted(films.items(), key=lambda each: -len(each[1])))


def sizes_in_words(films: Mapping[tuple[int, int], list[str]]) -> str:
    """Format sizes and films as `171x96 (a, b), 96x171 (c)`, width before height."""
    shown = [
        f"{width}x{height} ({', '.join(names[:SHOWN_FILMS])}{', ...' if len(names) > SHOWN_FILMS else ''})"
        for (height, width), names in list(films.items())[:SHOWN_FILMS]
    ]
    return ", ".join(shown) + (", ..." if len(films) > SHOWN_FILMS else "")

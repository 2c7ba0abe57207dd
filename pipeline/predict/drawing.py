"""Draw persons, their actions and a strip of time on the frames of a film, with NumPy on RGB pixels.

Text comes from the font that Pillow holds in itself, so that no font of the machine plays a part.
"""

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from pipeline.predict.moving import Shown, ShownFilm, ShownPerson, spans

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]

MOST_ACTIONS = 5
MOST_STRIPS = 6
STRIP_SECONDS = 60.0
"The strip shows the whole film, or this many seconds around the present."
WHITE: Colour = (255, 255, 255)
GREY: Colour = (176, 176, 176)
GOLDEN = 0.618033988749895
DARK = 0.35
"What stays of the brightness behind text."
BAR = 0.55
"Brightness of a bar, which lies behind white text."


def colour_of(track_id: int | None) -> Colour:
    """Return the colour of a person: one for each track, and neighbouring ids far apart; grey without a track."""
    if track_id is None:
        return GREY
    red, green, blue = colorsys.hsv_to_rgb((0.58 + track_id * GOLDEN) % 1.0, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_scene(frame: Frame, scene: ShownFilm, seconds: float, duration_seconds: float) -> None:
    """Draw a scene at a time of the film onto a frame [height, width, 3], in place.

    Boxes with a person's id, the actions with a bar as long as the score, and at the lower edge a strip of time for
    each person who is there: dim where the person is seen, bright where there is an action, with a line at the
    present.
    """
    size = text_size(frame)
    shown = scene.at(seconds)
    for each in shown:
        draw_box(frame, each.box_xyxy, colour_of(each.person.track_id), max(1, size // 6))
    for each in shown:
        _draw_actions(frame, each, size)
    _draw_strips(frame, [each.person for each in shown], scene.step_seconds, seconds, duration_seconds)


def text_size(frame: Frame) -> int:
    """Return the height of text in pixels: readable on a film of any size."""
    return int(np.clip(min(frame.shape[:2]) // 28, 9, 40))


def draw_box(frame: Frame, box_xyxy: Sequence[float], colour: Colour, thick: int) -> None:
    """Draw a frame of `thick` pixels within a normalised box; what lies outside the picture is left out."""
    x1, y1, x2, y2 = pixel_box(frame, box_xyxy)
    for rows, columns in (
        (slice(y1, min(y1 + thick, y2)), slice(x1, x2)),
        (slice(max(y2 - thick, y1), y2), slice(x1, x2)),
        (slice(y1, y2), slice(x1, min(x1 + thick, x2))),
        (slice(y1, y2), slice(max(x2 - thick, x1), x2)),
    ):
        frame[rows, columns] = colour


def pixel_box(frame: Frame, box_xyxy: Sequence[float]) -> tuple[int, int, int, int]:
    """Return a normalised box in whole pixels of a frame, limited to it."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = (
        round(min(max(value, 0.0), 1.0) * side)
        for value, side in zip(box_xyxy, (width, height, width, height), strict=True)
    )
    return x1, y1, x2, y2


def draw_text(frame: Frame, text: str, x: int, y: int, size: int, colour: Colour) -> None:
    """Write a line of text whose upper left corner is at (x, y); what lies outside the picture is left out."""
    mask = text_mask(text, size)
    height, width = frame.shape[:2]
    top, left = max(y, 0), max(x, 0)
    part = mask[top - y : max(height - y, 0), left - x : max(width - x, 0)]
    if part.size:
        place = frame[top : top + part.shape[0], left : left + part.shape[1]]
        place[:] = (place + (np.array(colour, np.float32) - place) * part[..., None]).round().astype(np.uint8)


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> NDArray[np.float32]:
    """Return how much of each pixel a line of text covers, [height of the line, width], 0 to 1."""
    font: Any = _font(size)
    image, (x, y) = font.getmask2(text, mode="L")
    width, height = image.size
    x, y = max(x, 0), max(y, 0)  # a letter may begin a little to the left of its place
    mask = np.zeros((sum(font.getmetrics()), width + x), np.float32)
    drawn = np.array(image, np.float32).reshape(height, width)[: mask.shape[0] - y] / 255
    mask[y : y + len(drawn), x:] = drawn
    return mask


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _draw_actions(frame: Frame, shown: Shown, size: int) -> None:
    """Draw a person's id and actions: above the box, or within it where there is no room above."""
    colour = colour_of(shown.person.track_id)
    lines: list[tuple[str, float | None]] = []
    if shown.person.track_id is not None:
        lines.append((f"#{shown.person.track_id}", None))
    lines += [(f"{each.name} {each.score:.2f}", each.score) for each in shown.actions[:MOST_ACTIONS]]
    if not lines:
        return
    x1, y1, _, _ = pixel_box(frame, shown.box_xyxy)
    high, pad = text_mask("A", size).shape[0], max(1, size // 6)
    wide = max(text_mask(text, size).shape[1] for text, _ in lines) + 2 * pad
    x = min(x1, max(0, frame.shape[1] - wide))
    y = y1 - high * len(lines) if y1 >= high * len(lines) else y1
    _darken(frame, x, y, wide, high * len(lines))
    for text, score in lines:
        if score is not None:
            bar = frame[max(0, y + 1) : max(0, y + high), x : x + round(wide * min(score, 1.0))]
            bar[:] = np.array(colour) * BAR
        draw_text(frame, text, x + pad, y, size, colour if score is None else WHITE)
        y += high


def _darken(frame: Frame, x: int, y: int, width: int, height: int) -> None:
    place = frame[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    place[:] = (place * np.float32(DARK)).astype(np.uint8)


def _draw_strips(
    frame: Frame, persons: Sequence[ShownPerson], step_seconds: float, seconds: float, duration_seconds: float
) -> None:
    """Draw a strip of time at the lower edge for each person who is there, at most `MOST_STRIPS`."""
    persons = [each for each in persons if each.track_id is not None][:MOST_STRIPS]
    high = max(3, text_size(frame) // 2)
    width, top = frame.shape[1], frame.shape[0] - (high + 1) * len(persons)
    if not persons or top < frame.shape[0] // 2:
        return
    start, length = strip_range(seconds, duration_seconds)
    _darken(frame, 0, top - 1, width, frame.shape[0] - top + 1)

    def columns(span: tuple[float, float]) -> slice:
        left, right = ((min(max(time - start, 0.0), length) / length) for time in span)
        return slice(round(left * width), round(right * width))

    for number, person in enumerate(persons):
        rows = slice(top + number * (high + 1), top + number * (high + 1) + high)
        colour = np.array(colour_of(person.track_id))
        half = step_seconds / 2
        moments = person.within(start - half, start + length + half)
        for span in spans(moments, step_seconds):
            frame[rows, columns(span)] = colour // 3
        for moment in moments:
            if moment.actions:
                frame[rows, columns((moment.seconds - half, moment.seconds + half))] = colour
    present = round((seconds - start) / length * (width - 1))
    frame[top - 1 :, present : present + 1] = WHITE


def strip_range(seconds: float, duration_seconds: float) -> tuple[float, float]:
    """Return the start and length of what a strip shows: the film, or `STRIP_SECONDS` of it around the present."""
    length = min(max(duration_seconds, 1e-6), STRIP_SECONDS)
    return min(max(0.0, seconds - length / 2), duration_seconds - length), length

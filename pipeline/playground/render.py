"""Render a script to frames: background, sky, figures, things in front of them, light and camera noise."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline.playground.backdrop import Backdrop, draw_backdrop
from pipeline.playground.canvas import HIDDEN, WORLD_HEIGHT, Canvas, new_canvas
from pipeline.playground.chance import stream
from pipeline.playground.figures import Capsules, capsule_boxes, figure_capsules
from pipeline.playground.motions import BLEND_SECONDS
from pipeline.playground.script import Script
from pipeline.playground.timeline import SkyObject

STACK_FRAMES = 24  # frames drawn together: far fewer calls, and they still fit into the cache of a core
BALL_RADIUS, KITE_RADIUS, KITE_WIDTH = 6.0, 5.0, 1.8
# The corners of a thing's box, relative to its place (world units).
SKY_EXTENTS = {
    "ball": (np.full(2, -BALL_RADIUS), np.full(2, BALL_RADIUS)),
    "kite": (np.array([-KITE_RADIUS - KITE_WIDTH, -KITE_WIDTH]), np.full(2, KITE_RADIUS + KITE_WIDTH)),
}
WHITE = np.full(3, 250.0)
NOISE_POOL = 8  # number of noise pictures; each frame uses a random part of one
SHAKE = np.array([1.25, 0.6])  # movement of the camera at each of its frequencies, world units


def camera(script: Script, seed: int, times: np.ndarray) -> np.ndarray:
    """Return the movement of the camera at `times` (seconds, [T]): world units (x, y), [T, 2]."""
    rng = stream(seed, script.split, script.index, "camera")
    moved = np.zeros((len(times), 2))
    if script.still:
        return moved
    for frequency in (0.07, 0.19, 0.53):
        phase = rng.uniform(0, 2 * np.pi, 2)
        moved += SHAKE * np.sin(2 * np.pi * frequency * times[:, None] + phase)
    return moved


def keyframe_boxes(script: Script, seed: int, times: np.ndarray) -> np.ndarray:
    """Return every figure's box at `times` (seconds, [T]): xyxy normalised to the frame, clipped, [T, figures, 4]."""
    moved = np.tile(camera(script, seed, times), 2)[:, None]
    boxes = np.stack([capsule_boxes(figure_capsules(figure, times)) for figure in script.figures], 1)
    size = np.array([script.world_width, WORLD_HEIGHT] * 2)
    return np.asarray(np.clip((boxes - moved) / size, 0, 1))


def sky_boxes(script: Script, seed: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the box of each thing in the sky at `times` (seconds, [T]), and whether it is there.

    Returns:
        xyxy normalised to the frame, clipped, [T, things, 4]; and bool [T, things].
    """
    moved = camera(script, seed, times)
    boxes, shown = np.zeros((len(times), len(script.sky), 4)), np.zeros((len(times), len(script.sky)), bool)
    for number, each in enumerate(script.sky):
        at = _sky_place(each, times) - moved
        low, high = SKY_EXTENTS[each.kind]
        boxes[:, number] = np.concatenate([at + low, at + high], 1)
        shown[:, number] = _is_up(each, times)
    return np.clip(boxes / np.array([script.world_width, WORLD_HEIGHT] * 2), 0, 1), shown


def _is_up(each: SkyObject, times: np.ndarray) -> np.ndarray:
    later = times + BLEND_SECONDS
    return np.asarray((later >= each.start) & (later < each.start + each.seconds))


def _sky_place(each: SkyObject, times: np.ndarray) -> np.ndarray:
    """Return where a thing in the sky is at `times`: world units (x, y), [T, 2]."""
    drift = 3 * np.sin(np.pi * (times - each.start))
    return np.stack([each.x + drift, np.full(len(drift), each.y)], -1)


def shots(script: Script) -> list[tuple[float, float, bool]]:
    """Return (begin, end, whether persons are there) of each stretch of seconds with one background.

    Seconds without persons are separate shots. A shot changes as early as a motion does.
    """
    begins = dict.fromkeys((0, *script.cuts), True)
    for second in script.empty:
        begins.setdefault(second + 1, True)
    begins.update(dict.fromkeys(script.empty, False))
    seconds = sorted(second for second in begins if second < script.seconds)
    times = [second - BLEND_SECONDS if second else 0.0 for second in seconds] + [float(script.seconds)]
    return [(begin, end, begins[second]) for begin, end, second in zip(times[:-1], times[1:], seconds, strict=True)]


def render(script: Script, *, seed: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Draw a film.

    Args:
        script: the film.
        seed: the data set's seed.
        width: width of a frame in pixels.
        height: height of a frame in pixels; the script's world is `120 * width / height` wide.

    Yields:
        Stacks of consecutive frames, uint8 [F, height, width, 3], RGB.
    """
    times = np.arange(script.seconds * script.fps) / script.fps
    moved = camera(script, seed, times)
    bodies = [figure_capsules(figure, times) for figure in script.figures]
    # Nearer figures are drawn later, over the others.
    order = sorted(range(len(bodies)), key=lambda number: script.figures[number].foot_y)
    rng = stream(seed, script.split, script.index, "light")
    sigma, depth, phase = rng.uniform(2.0, 4.0), rng.uniform(0.04, 0.12), rng.uniform(0, 2 * np.pi)
    gain = (1 + depth * np.sin(2 * np.pi * times / 11 + phase)).astype(np.float32)
    # Add half a level, as the cast to bytes rounds down.
    noise = rng.normal(0.5, sigma, (NOISE_POOL, 2 * height, 2 * width)).astype(np.float32)
    picks = np.stack([rng.integers(0, limit, len(times)) for limit in (NOISE_POOL, height, width)], 1)
    for shot, (begin, end, persons) in enumerate(shots(script)):
        backdrop = draw_backdrop(stream(seed, script.split, script.index, "backdrop", shot), width=width, height=height)
        if script.still:
            backdrop = replace(backdrop, pan=0.0)
        within = np.flatnonzero((times >= begin) & (times < end))
        for first in range(0, len(within), STACK_FRAMES):
            frames = within[first : first + STACK_FRAMES]
            canvas = new_canvas(times[frames], moved[frames], width=width, height=height)
            _draw_background(canvas, backdrop)
            _draw_sky(canvas, script)
            for figure in order if persons else ():
                _draw_body(canvas, bodies[figure], frames)
            _draw_occluders(canvas, backdrop, script.world_width)
            image = canvas.frames * gain[frames, None, None]
            for number, (pool, top, left) in enumerate(picks[frames]):
                image[:, number] += noise[pool, top : top + height, left : left + width]
            np.minimum(np.maximum(image, 0, out=image), 255, out=image)
            yield np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 3, 0))


def _draw_background(canvas: Canvas, backdrop: Backdrop) -> None:
    frames = canvas.frames
    left = np.rint((backdrop.pan * canvas.times + canvas.moved[:, 0]) * canvas.scale).astype(int) % backdrop.period
    for number, column in enumerate(left):
        frames[:, number] = backdrop.picture[..., column : column + frames.shape[-1]]


def _draw_body(canvas: Canvas, body: Capsules, frames: np.ndarray) -> None:
    for part, colour in enumerate(body.colours):
        start, end = body.ends[frames, part, 0], body.ends[frames, part, 1]
        canvas.capsule(start, end, radius=body.radii[frames, part], colour=colour)


def _draw_sky(canvas: Canvas, script: Script) -> None:
    for each in script.sky:
        live = _is_up(each, canvas.times)
        if not live.any():
            continue
        at = _sky_place(each, canvas.times)
        unit = np.where(live, 1.0, HIDDEN)  # a radius of 1 world unit
        colour = np.array(each.colour)
        if each.kind == "ball":
            band = np.array([0.6 * BALL_RADIUS, 0.0])
            canvas.capsule(at, at, radius=BALL_RADIUS * unit, colour=colour)
            canvas.capsule(at - band, at + band, radius=0.25 * BALL_RADIUS * unit, colour=WHITE)
        else:  # a kite is drawn as a bent line
            for side in (-1, 1):
                canvas.capsule(at, at + KITE_RADIUS * np.array([side, 1]), radius=KITE_WIDTH * unit, colour=colour)


def _draw_occluders(canvas: Canvas, backdrop: Backdrop, world_width: float) -> None:
    """Draw things in front: they pass twice as fast as the background, and come back on the other side."""
    beyond = 30.0
    for each in backdrop.occluders:
        x = (each.start[0] + beyond - 2 * backdrop.pan * canvas.times) % (world_width + 2 * beyond) - beyond
        offset = np.stack([x - each.start[0], np.zeros(len(x))], -1)
        start, end = np.array(each.start) + offset, np.array(each.end) + offset
        canvas.capsule(start, end, radius=each.radius, colour=np.array(each.colour))

"""From a script to frames: background, sky, figures, things in front of them, light and camera noise."""

from collections.abc import Iterator

import numpy as np

from pipeline.datasets.playground.backdrop import Backdrop, draw_backdrop
from pipeline.datasets.playground.chance import stream
from pipeline.datasets.playground.figures import HIDDEN, Capsules, capsule_boxes, figure_capsules
from pipeline.datasets.playground.motions import BLEND_SECONDS
from pipeline.datasets.playground.script import WORLD_HEIGHT, Script

STACK_FRAMES = 24  # drawn together: many calls less, and still in the cache of a core
MARGIN = 48  # world units around the frame in which something may stand
BALL_RADIUS, KITE_RADIUS = 6.0, 5.0
OUTLINE = 0.55  # brightness of the rim of a body part
NOISE_POOL = 8
SHAKE = 2.5  # world units
WHITE = np.full(3, 250.0)


def draw_capsule(
    stack: np.ndarray, start: np.ndarray, end: np.ndarray, *, radius: np.ndarray, colour: np.ndarray
) -> None:
    """Draw one anti-aliased capsule with a dark rim into every frame of a stack, in place.

    Args:
        stack: float32 [3, F, H, W], contiguous (planes are faster than pixels here).
        start: one end of its axis in each frame, pixels (x, y), [F, 2].
        end: the other end, [F, 2].
        radius: in pixels, [F]; nothing is drawn where it is negative.
        colour: [3].
    """
    _, frames, height, width = stack.shape
    widest = float(radius.max())
    if widest < 0:
        return
    low = np.floor(np.minimum(start, end) - widest - 1).astype(np.int64)
    span = np.ceil(np.abs(end - start).max(0) + 2 * widest + 3).astype(np.int64)
    span = np.minimum(span, (width, height))
    low = np.minimum(np.maximum(low, 0), np.array([width, height]) - span)
    columns = low[:, :1] + np.arange(span[0])
    rows = low[:, 1:] + np.arange(span[1])
    from_start_x = (columns - start[:, :1]).astype(np.float32)[:, None, :]
    from_start_y = (rows - start[:, 1:]).astype(np.float32)[:, :, None]
    axis_x, axis_y = (end - start).astype(np.float32).T[:, :, None, None]
    length = np.maximum(axis_x * axis_x + axis_y * axis_y, 1e-6)
    along = from_start_x * (axis_x / length) + from_start_y * (axis_y / length)
    np.minimum(np.maximum(along, 0, out=along), 1, out=along)
    across_x = from_start_x - along * axis_x
    across_y = from_start_y - along * axis_y
    inside = (radius.astype(np.float32)[:, None, None] - np.sqrt(across_x * across_x + across_y * across_y)).reshape(-1)
    cover = np.minimum(np.maximum(inside + 0.5, 0), 1)
    shade = np.minimum(np.maximum(inside - 0.5, 0), 1) * (1 - OUTLINE) + OUTLINE
    rows += np.arange(frames)[:, None] * height
    place = (rows[:, :, None] * width + columns[:, None, :]).reshape(-1)
    for plane, value in zip(stack.reshape(3, -1), colour, strict=True):
        old = plane.take(place)
        plane[place] = old + cover * (shade * np.float32(value) - old)


def camera(script: Script, seed: int, times: np.ndarray) -> np.ndarray:
    """How far the camera has moved at `times` (seconds, [T]): world units (x, y), [T, 2]."""
    rng = stream(seed, script.split, script.index, "camera")
    moved = np.zeros((len(times), 2))
    for frequency in (0.07, 0.19, 0.53):
        phase = rng.uniform(0, 2 * np.pi, 2)
        moved += SHAKE * np.array([1.0, 0.5]) * 0.5 * np.sin(2 * np.pi * frequency * times[:, None] + phase)
    return moved


def keyframe_boxes(script: Script, seed: int, times: np.ndarray) -> np.ndarray:
    """The box of every figure at `times` (seconds, [T]): xyxy normalised to the frame, clipped, [T, figures, 4]."""
    moved = np.tile(camera(script, seed, times), 2)[:, None]
    boxes = np.stack([capsule_boxes(figure_capsules(figure, times)) for figure in script.figures], 1)
    size = np.array([script.world_width, WORLD_HEIGHT] * 2)
    return np.asarray(np.clip((boxes - moved) / size, 0, 1))


def _shots(script: Script) -> list[tuple[float, float, bool]]:
    """(begin, end, persons visible) of each stretch with one background; a change comes as early as a motion's."""
    begins = {0: True}
    begins.update(dict.fromkeys(script.cuts, True))
    for second in script.empty:
        begins.setdefault(second + 1, True)
        begins[second] = False
    for second in script.empty:
        if second + 1 in script.empty:
            begins[second + 1] = False
    seconds = sorted(second for second in begins if second < script.seconds)
    times = [second - BLEND_SECONDS if second else 0.0 for second in seconds] + [float(script.seconds)]
    return [(begin, end, begins[second]) for begin, end, second in zip(times[:-1], times[1:], seconds, strict=True)]


def render(script: Script, *, seed: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Draw a film.

    Args:
        script: the film.
        seed: the data set's seed.
        width: of a frame, in pixels.
        height: of a frame, in pixels; the script's world is as wide as `120 * width / height`.

    Yields:
        Stacks of consecutive frames, uint8 [F, height, width, 3], RGB.
    """
    scale = height / WORLD_HEIGHT
    times = np.arange(script.seconds * script.fps) / script.fps
    moved = camera(script, seed, times)
    bodies = [figure_capsules(figure, times) for figure in script.figures]
    # Nearer figures are drawn later.
    order = sorted(range(len(bodies)), key=lambda number: script.figures[number].foot_y)
    rng = stream(seed, script.split, script.index, "light")
    sigma, depth, phase = rng.uniform(2.5, 6.0), rng.uniform(0.04, 0.12), rng.uniform(0, 2 * np.pi)
    gain = 1 + depth * np.sin(2 * np.pi * times / 11 + phase)
    # Half a level more, since the cast to bytes rounds down.
    noise = rng.normal(0.5, sigma, (NOISE_POOL, 2 * height, 2 * width)).astype(np.float32)
    picks = np.stack([rng.integers(0, limit, len(times)) for limit in (NOISE_POOL, height, width)], 1)
    for shot, (begin, end, visible) in enumerate(_shots(script)):
        backdrop = draw_backdrop(stream(seed, script.split, script.index, "backdrop", shot), width=width, height=height)
        shown = np.flatnonzero((times >= begin) & (times < end))
        for first in range(0, len(shown), STACK_FRAMES):
            frames = shown[first : first + STACK_FRAMES]
            stack = _background(backdrop, times[frames], moved[frames], width=width, height=height)
            _draw_sky(stack, script, times[frames], moved[frames], scale)
            for figure in order if visible else ():
                _draw_body(stack, bodies[figure], frames, moved[frames], scale)
            _draw_occluders(stack, backdrop, times[frames], moved[frames], script.world_width, scale)
            margin = round(MARGIN * scale)
            image = stack[..., margin:-margin, margin:-margin] * gain[frames, None, None].astype(np.float32)
            for number, (pool, top, left) in enumerate(picks[frames]):
                image[:, number] += noise[pool, top : top + height, left : left + width]
            np.minimum(np.maximum(image, 0, out=image), 255, out=image)
            yield np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 3, 0))


def _background(backdrop: Backdrop, times: np.ndarray, moved: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """The background of a stack, [3, F, height + 2 margins, width + 2 margins]; its margins are not filled."""
    scale = height / WORLD_HEIGHT
    margin = round(MARGIN * scale)
    stack = np.zeros((3, len(times), height + 2 * margin, width + 2 * margin), np.float32)
    left = np.rint((backdrop.pan * times + moved[:, 0]) * scale).astype(int) % backdrop.period
    for number, column in enumerate(left):
        stack[:, number, margin:-margin, margin:-margin] = backdrop.canvas[..., column : column + width]
    return stack


def _pixels(points: np.ndarray, moved: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray((points - moved + MARGIN) * scale)


def _draw_body(stack: np.ndarray, body: Capsules, frames: np.ndarray, moved: np.ndarray, scale: float) -> None:
    for part in range(len(body.colours)):
        start, end = (_pixels(body.ends[frames, part, which], moved, scale) for which in (0, 1))
        draw_capsule(stack, start, end, radius=body.radii[frames, part] * scale, colour=body.colours[part])


def _draw_sky(stack: np.ndarray, script: Script, times: np.ndarray, moved: np.ndarray, scale: float) -> None:
    for each in script.sky:
        begin, end = each.start - BLEND_SECONDS, each.start + each.seconds - BLEND_SECONDS
        live = (times >= begin) & (times < end)
        if not live.any():
            continue
        drift = 3 * np.sin(2 * np.pi * 0.5 * (times - each.start))
        at = _pixels(np.stack([each.x + drift, np.full(len(times), each.y)], -1), moved, scale)
        unit = np.where(live, scale, HIDDEN)  # a radius of 1
        colour = np.array(each.colour)
        if each.kind == "ball":
            band = np.array([0.6 * BALL_RADIUS * scale, 0.0])
            draw_capsule(stack, at, at, radius=BALL_RADIUS * unit, colour=colour)
            draw_capsule(stack, at - band, at + band, radius=0.25 * BALL_RADIUS * unit, colour=WHITE)
        else:  # a kite is a bent line
            for side in (-1, 1):
                tip = at + np.array([side, 1]) * KITE_RADIUS * scale
                draw_capsule(stack, at, tip, radius=1.8 * unit, colour=colour)


def _draw_occluders(
    stack: np.ndarray,
    backdrop: Backdrop,
    times: np.ndarray,
    moved: np.ndarray,
    world_width: float,
    scale: float,
) -> None:
    """Things in front pass by twice as fast as the background, and come back on the other side."""
    round_trip = world_width + 60
    for each in backdrop.occluders:
        passed = (each.start[0] + 30 - 2 * backdrop.pan * times) % round_trip - 30 - each.start[0]
        offset = np.stack([passed, np.zeros(len(times))], -1)
        start = _pixels(np.array(each.start) + offset, moved, scale)
        end = _pixels(np.array(each.end) + offset, moved, scale)
        draw_capsule(stack, start, end, radius=np.full(len(times), each.radius * scale), colour=np.array(each.colour))

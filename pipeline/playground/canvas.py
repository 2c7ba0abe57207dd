"""Draw capsules (thick line segments) into a stack of frames, all frames at once."""

from dataclasses import dataclass

import numpy as np

WORLD_HEIGHT = 120.0  # world units are the pixels of a frame with this height
MARGIN = 48  # world units around the frame in which figures may stand
OUTLINE = 0.55  # brightness of a capsule's rim
HIDDEN = -1.0  # radius of a capsule that is not drawn


def draw_capsule(
    stack: np.ndarray, start: np.ndarray, end: np.ndarray, *, radius: np.ndarray, colour: np.ndarray
) -> None:
    """Draw one anti-aliased capsule with a dark rim into every frame of a stack, in place.

    Args:
        stack: float32 [3, F, H, W], contiguous (planes are faster than pixels here).
        start: one end of the axis in each frame, pixels (x, y), [F, 2]; integers are centres of pixels.
        end: the other end, [F, 2].
        radius: in pixels, [F]; nothing is drawn in frames with a negative radius.
        colour: red, green, blue, [3].
    """
    widest = float(radius.max())
    if widest < 0:
        return
    _, frames, height, width = stack.shape
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
    distance = np.sqrt(across_x * across_x + across_y * across_y)
    inside = (radius.astype(np.float32)[:, None, None] - distance).reshape(-1)
    cover = np.minimum(np.maximum(inside + 0.5, 0), 1)
    shade = np.minimum(np.maximum(inside - 0.5, 0), 1) * (1 - OUTLINE) + OUTLINE
    rows += np.arange(frames)[:, None] * height
    place = (rows[:, :, None] * width + columns[:, None, :]).reshape(-1)
    for plane, value in zip(stack.reshape(3, -1), colour, strict=True):
        old = plane.take(place)
        plane[place] = old + cover * (shade * np.float32(value) - old)


@dataclass(frozen=True)
class Canvas:
    """Frames that are being drawn, with a margin around them so that nothing needs to be clipped."""

    stack: np.ndarray
    "float32 [3, F, height + 2 margins, width + 2 margins]."
    times: np.ndarray
    "Seconds, [F]."
    moved: np.ndarray
    "Movement of the camera, world units (x, y), [F, 2]."
    scale: float
    "Pixels per world unit."

    @property
    def frames(self) -> np.ndarray:
        """Return the frames without margins: a view, [3, F, height, width]."""
        margin = round(MARGIN * self.scale)
        return self.stack[..., margin:-margin, margin:-margin]

    def capsule(self, start: np.ndarray, end: np.ndarray, *, radius: np.ndarray | float, colour: np.ndarray) -> None:
        """Draw a capsule given in world units: ends [F, 2] or [2], radius [F] or one for all."""
        # The centre of the first pixel is half a pixel from the frame's corner.
        corner = round(MARGIN * self.scale) - 0.5
        first, last = ((point - self.moved) * self.scale + corner for point in (start, end))
        radii = np.broadcast_to(np.asarray(radius, np.float64) * self.scale, len(self.times))
        draw_capsule(self.stack, first, last, radius=radii, colour=colour)


def new_canvas(times: np.ndarray, moved: np.ndarray, *, width: int, height: int) -> Canvas:
    """Return a black canvas of `width` x `height` pixels.

    Args:
        times: of the frames, in seconds, [frames].
        moved: see `Canvas.moved`.
        width: of a frame in pixels.
        height: of a frame in pixels.
    """
    scale = height / WORLD_HEIGHT
    margin = round(MARGIN * scale)
    stack = np.zeros((3, len(times), height + 2 * margin, width + 2 * margin), np.float32)
    return Canvas(stack, times, moved, scale)

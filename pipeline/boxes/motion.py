"""Find persons without a network: what differs from the empty scene, for a camera that stands still.

The empty scene is the temporal median of the film's keyframes. A person who stays in one place is part of that median,
but the pixels there still change: these pixels are replaced by neighbouring ones. Then each connected region that
differs from the scene and has the size and shape of a person is a box. The method cannot tell persons from other moving
things, joins persons who touch, and is of no use in films with cuts or a moving camera.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.boxes.film_frames import FilmFrames
from pipeline.tables.csv_rows import Floats

LIGHT_PARTS = (3, 4)
LIGHT_RANGE, LIGHT_KNOWN = 40.0, 0.2
"Of 255: larger differences are not light. A part or row gives no light if a smaller share than this is scene."
WORK_SIDE = 96
"Frames are averaged down so that the short side has this to twice this many pixels."
SCENE_FRAMES = 120
"The scene is made from at most this many frames, evenly spread over the film."
LEAST_CHANGE = 5.0
"Of 255: a pixel moves if its mean distance from its median exceeds this, and twice that of the median pixel."
MOST_MOVING = 0.9
LEAST_DIFFERENCE = 22.0
LEAST_AREA, LEAST_HEIGHT, LARGEST_AREA = 0.004, 0.12, 0.6
"As fractions of the frame: smaller or larger regions are not persons."
TALL = 0.5
"A column counts as tall if it has at least this fraction of the tallest column of a region."
LEAST_ASPECT, LARGEST_ASPECT = 0.7, 6.0
"Height divided by width, in pixels."


def shrink_by_squares(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average a frame [H, W, 3] over squares of whole pixels; boxes stay the same as fractions of the frame."""
    factor = max(1, min(frame.shape[:2]) // WORK_SIDE)
    height, width = (side // factor for side in frame.shape[:2])
    cut = frame[: height * factor, : width * factor].astype(np.float32)
    return np.asarray(cut.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)).round(), np.uint8)


def empty_scene(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scene without persons [h, w, 3] from frames [n, h, w, 3] of the whole film."""
    scene = np.median(frames, axis=0)
    frames = np.stack([lit_as(frame, scene) for frame in frames])
    scene = np.median(frames, axis=0)
    change = np.abs(frames - scene).mean(axis=0).max(axis=2)
    moving = change > max(LEAST_CHANGE, 2 * float(np.median(change)))
    moving = ndimage.binary_closing(ndimage.binary_opening(moving), iterations=2)
    # Also mark what stands still between moving parts: in each column all between the top and the lowest moving pixel.
    below, above = np.maximum.accumulate(moving), np.maximum.accumulate(moving[::-1])[::-1]
    moving = below & above
    moving = ndimage.binary_dilation(moving, iterations=2)
    if moving.mean() > MOST_MOVING:  # a moving camera, or cuts: there is no still scene to copy pixels from
        return np.asarray(scene, np.float32)
    # Copy from the side, not from above: a scene changes less along a row.
    rows, columns = ndimage.distance_transform_edt(
        moving, sampling=(100, 1), return_distances=False, return_indices=True
    )
    return np.asarray(scene[rows, columns], np.float32)


def lit_as(frame: NDArray[np.float32], scene: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frame [height, width, 3], values 0 to 255, corrected to the light of the scene (of the same shape).

    Most pixels differ from the scene by the light alone, which changes slowly over the frame. It is estimated as the
    median difference in each part of a grid, and interpolated between the parts. Pixels that differ from most others
    by more than light can do are ignored.
    """
    difference = frame - scene
    difference = difference - np.median(difference, axis=(0, 1))
    height, width = difference.shape[:2]
    parts = [np.array_split(strip, LIGHT_PARTS[1], axis=1) for strip in np.array_split(difference, LIGHT_PARTS[0])]
    light = np.array([[_light(part.reshape(1, -1, 3))[0, 0] for part in strip] for strip in parts])
    rows, columns = (
        np.clip((np.arange(side) + 0.5) / side * count - 0.5, 0, count - 1)
        for side, count in zip((height, width), LIGHT_PARTS, strict=True)
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    smooth = [ndimage.map_coordinates(light[..., channel], places, order=1) for channel in range(3)]
    difference = difference - np.stack(smooth, axis=2)
    # Walls and floors are lit differently, with a sharp edge between them, so correct the light of each row as well.
    return np.asarray(scene + difference - _light(difference), np.float32)


def _light(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return per row [h, 1, 3] the median of a difference from the scene [h, w, 3], over pixels that may be scene."""
    may = np.abs(difference).max(axis=2, keepdims=True) <= LIGHT_RANGE
    known = may.mean(axis=1, keepdims=True) >= LIGHT_KNOWN
    middle = np.nanmedian(np.where(may | ~known, difference, np.nan), axis=1, keepdims=True)
    return np.asarray(np.where(known, middle, 0), np.float32)


def motion_boxes(frame: NDArray[np.float32], scene: NDArray[np.float32]) -> Floats:
    """Return the boxes of a frame [h, w, 3]: [n, 5] with x1, y1, x2, y2 as fractions of the frame, score in [0.5, 1).

    The score grows with the region's difference from the scene and with the share of its box that it fills.
    """
    height, width = frame.shape[:2]
    difference = np.abs(lit_as(frame, scene) - scene).max(axis=2)
    # Remove thin lines, which edges of the scene such as the horizon leave: they would join persons.
    mask = ndimage.binary_opening(difference > LEAST_DIFFERENCE, structure=np.ones((3, 2), bool))
    mask = ndimage.binary_closing(mask, structure=np.ones((5, 3), bool))
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3), bool))
    boxes = []
    places = [part for place in _merged(ndimage.find_objects(labels)) for part in _parted(mask, *place)]
    for rows, columns in places:
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        area = high * wide / (height * width)
        plausible = LEAST_AREA <= area <= LARGEST_AREA and high >= LEAST_HEIGHT * height
        if not plausible or not LEAST_ASPECT <= high / wide <= LARGEST_ASPECT:
            continue
        inside = mask[rows, columns]
        fill = float(inside.mean())
        contrast = float(difference[rows, columns][inside].mean()) / 255
        score = 0.5 + 0.49 * min(1.0, 2 * fill) * min(1.0, 3 * contrast)
        edges = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
        boxes.append((*edges, score))
    return np.array(sorted(boxes, key=lambda box: (-box[4], box[:4])), np.float64).reshape(-1, 5)


def _merged(places: list[tuple[slice, slice]]) -> list[tuple[slice, slice]]:
    """Join regions above each other that share most of their columns: a belt or a shadow divides a person."""
    merged: list[tuple[slice, slice]] = []
    for rows, columns in sorted(places, key=lambda place: (place[0].start, place[1].start)):
        for at, (above, others) in enumerate(merged):
            common = min(columns.stop, others.stop) - max(columns.start, others.start)
            narrower = min(columns.stop - columns.start, others.stop - others.start)
            if common >= 0.6 * narrower and rows.start - above.stop <= 3:
                joined = slice(min(columns.start, others.start), max(columns.stop, others.stop))
                merged[at] = (slice(above.start, max(above.stop, rows.stop)), joined)
                break
        else:
            merged.append((rows, columns))
    return merged


def _parted(mask: NDArray[np.bool_], rows: slice, columns: slice) -> list[tuple[slice, slice]]:
    """Split a region into persons: cut it in the middle between two tall parts."""
    piece = mask[rows, columns]
    tall = piece.sum(axis=0) >= TALL * max(piece.sum(axis=0).max(), 1)
    runs, _ = ndimage.label(tall)
    bodies = [body[0] for body in ndimage.find_objects(runs) if body[0].stop - body[0].start >= 3]
    if len(bodies) < 2:
        return [(rows, columns)]
    cuts = [0, *((one.stop + two.start) // 2 for one, two in pairwise(bodies)), piece.shape[1]]
    parted = []
    for start, stop in pairwise(cuts):
        labels, _ = ndimage.label(piece[:, start:stop])
        within = max(ndimage.find_objects(labels), key=lambda place: piece[:, start:stop][place].sum())
        parted.append(
            (
                slice(rows.start + within[0].start, rows.start + within[0].stop),
                slice(columns.start + start + within[1].start, columns.start + start + within[1].stop),
            )
        )
    return parted


def detect_motion(frames: FilmFrames) -> list[Floats]:
    """Return the boxes of a film's keyframes; see `motion_boxes`. The frames of the scene are read twice."""
    count = len(frames)
    if not count:
        return []
    chosen = np.unique(np.linspace(0, count - 1, min(count, SCENE_FRAMES)).round().astype(np.int64))
    scene = empty_scene(np.stack([shrink_by_squares(frames[place]) for place in chosen.tolist()]).astype(np.float32))
    return [motion_boxes(shrink_by_squares(frame).astype(np.float32), scene) for frame in frames]

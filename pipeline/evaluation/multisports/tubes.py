"""Represent tubes: unbroken runs of one box per frame, of one class in one film.

Overlaps are ratios, so they are the same in pixels and in fractions of the frame.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import BoxArrays, Floats, Ints, NumberedFrames


@dataclass(frozen=True)
class Tubes:
    """T tubes with all boxes in one array: tube t has the rows from offsets[t] to offsets[t + 1]."""

    video: Ints  # [T]
    label: Ints  # [T] index into the scored classes
    first: Ints  # [T] number of the first frame
    offsets: Ints  # [T + 1]
    boxes_xyxy: Floats  # [N, 4]
    score: Floats  # [T]; 1 for ground truth

    def __len__(self) -> int:
        return len(self.video)

    @property
    def last(self) -> Ints:
        """Return the number of the last frame [T]."""
        last: Ints = self.first + np.diff(self.offsets) - 1
        return last

    def boxes(self, tube: int, first: int, last: int) -> Floats:
        """Return the boxes of one tube from frame `first` to frame `last`."""
        start = int(self.offsets[tube] - self.first[tube])
        return self.boxes_xyxy[start + first : start + last + 1]


def pixel_box_iou(a: Floats, b: Floats, pixel: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Return the IoU of boxes, over all but the last axis; NaN for two boxes without area.

    Args:
        a: [..., 4].
        b: [..., 4], broadcast against `a`.
        pixel: width and height to add to the sides: one pixel, in the unit of the boxes, if the second corner is the
            last pixel inside the box.
    """
    extent = np.asarray(pixel)
    sides = np.maximum(0.0, np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extent)
    areas = [(each[..., 2:] - each[..., :2] + extent).prod(-1) for each in (a, b)]
    intersection = sides.prod(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou: Floats = intersection / (areas[0] + areas[1] - intersection)
    return iou


def frame_numbers(frames: NumberedFrames) -> Ints:
    """Number the frames of each film from 0; consecutive frames differ by 1.

    Timestamps may count frames, seconds or any other step: the step of all films is the shortest distance between two
    frames of a film.

    Raises:
        InputError: a distance is not a multiple of the step.
    """
    same = np.diff(frames.video) == 0
    gaps = np.diff(frames.microseconds)[same]
    if not len(gaps):
        return np.zeros(len(frames.video), np.int64)
    step = int(gaps.min())
    counts = np.rint(gaps / step).astype(np.int64)
    # A step is accurate to a microsecond, so n steps are accurate to n microseconds.
    off = np.abs(gaps - counts * step) > 0.1 * step + counts
    if off.any():
        worst = int(np.argmax(off))
        frame = int(np.flatnonzero(same)[worst]) + 1
        raise InputError(
            f"{frames.name(frame)}: found {gaps[worst] / 1e6:g} after the keyframe before it, "
            f"expected a multiple of {step / 1e6:g}, the shortest such distance: frames of tubes have one step"
        )
    advance = np.zeros(len(frames.video), np.int64)
    advance[1:][same] = counts
    number = np.cumsum(advance)
    return number - number[np.searchsorted(frames.video, frames.video)]


def truth_tubes(truth: BoxArrays, frames: NumberedFrames, number: Ints) -> Tubes:
    """Return the tubes of annotated boxes: the consecutive frames of a person with one class.

    Args:
        truth: annotated boxes; `value` is the person id.
        frames: the frames of `truth`.
        number: the number of each frame in its film.

    Raises:
        InputError: a box has no person, or a person has two boxes of one class in one frame.
    """
    _refuse_strangers(truth, frames)
    video, at = frames.video[truth.frame], number[truth.frame]
    order = np.lexsort((at, truth.value, truth.label, video))
    keys = [each[order] for each in (video, truth.label, truth.value)]
    alike = np.logical_and.reduce([each[1:] == each[:-1] for each in keys])
    advance = np.diff(at[order])
    twice = alike & (advance == 0)
    if twice.any():
        row = int(order[np.argmax(twice)])
        raise InputError(
            f"annotations: {frames.name(int(truth.frame[row]))}: found two boxes of person {truth.value[row]:g} "
            f"with action {truth.table['action_id'][int(truth.row[row])]}, expected one box of a tube in a frame"
        )
    starts = np.concatenate([np.ones(min(1, len(order)), bool), ~(alike & (advance == 1))])
    chosen = order[starts]
    offsets = np.append(np.flatnonzero(starts), len(order))
    boxes = np.column_stack(truth.corners(order)).reshape(-1, 4)
    return Tubes(video[chosen], truth.label[chosen], at[chosen], offsets, boxes, np.ones(len(chosen)))


def _refuse_strangers(truth: BoxArrays, frames: NumberedFrames) -> None:
    strangers = np.flatnonzero(truth.table["person_id"].is_null().to_numpy()[truth.row])
    if len(strangers):
        where = frames.name(int(truth.frame[strangers[0]]))
        raise InputError(f"annotations: {where}: found a box without a person id, expected the number of its tube")

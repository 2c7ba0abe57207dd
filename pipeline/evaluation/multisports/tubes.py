"""Tubes: unbroken runs of one box per frame, of one class in one film.

Overlaps are ratios, so they are the same in pixels and in shares of the frame.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import BoxArrays, Floats, Ints, NumberedFrames


@dataclass(frozen=True)
class Tubes:
    """T tubes, all boxes in one array: those of tube t are rows offsets[t] to offsets[t + 1]."""

    video: Ints  # [T]
    label: Ints  # [T] index into the scored classes
    first: Ints  # [T] number of the first frame
    offsets: Ints  # [T + 1]
    boxes_xyxy: Floats  # [N, 4]
    score: Floats  # [T]; 1 in ground truth

    def __len__(self) -> int:
        return len(self.video)

    @property
    def last(self) -> Ints:
        """[T] number of the last frame."""
        last: Ints = self.first + np.diff(self.offsets) - 1
        return last

    def boxes(self, tube: int, first: int, last: int) -> Floats:
        """The boxes of one tube from frame `first` to frame `last`."""
        start = int(self.offsets[tube] - self.first[tube])
        return self.boxes_xyxy[start + first : start + last + 1]


def pixel_box_iou(a: Floats, b: Floats, pixel: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """IoU of boxes, over all but the last axis; NaN of two boxes without area.

    Args:
        a: [..., 4].
        b: [..., 4], broadcast against `a`.
        pixel: width and height of what is added to every side: one pixel, in the unit of the boxes, where the
            second corner is that of a pixel inside the box.
    """
    extent = np.asarray(pixel)
    sides = np.maximum(0.0, np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extent)
    areas = [(each[..., 2:] - each[..., :2] + extent).prod(-1) for each in (a, b)]
    intersection = sides.prod(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou: Floats = intersection / (areas[0] + areas[1] - intersection)
    return iou


def frame_numbers(frames: NumberedFrames) -> Ints:
    """Number the frames of each film from 0 on; frames that follow one another differ by 1.

    Timestamps may count frames, seconds or any other step: the shortest distance between two frames of a film
    is taken for the step of all films.

    Raises:
        InputError: a distance is no multiple of the step.
    """
    same = np.diff(frames.video) == 0
    gaps = np.diff(frames.microseconds)[same]
    if not len(gaps):
        return np.zeros(len(frames.video), np.int64)
    step = int(gaps.min())
    counts = np.rint(gaps / step).astype(np.int64)
    # A step is known to a microsecond, so many steps to as many.
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
    """The tubes of annotated boxes: a person's consecutive frames of one class.

    Args:
        truth: annotated boxes, `value` the person.
        frames: the frames of `truth`.
        number: of each frame.

    Raises:
        InputError: a box has no person, or a person two boxes of a class in one frame.
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

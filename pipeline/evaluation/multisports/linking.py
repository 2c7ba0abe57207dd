"""Link the detections of single frames to tubes.

This equals MMAction2's `link_tubes` with tubelets of one frame (a copy of ACT's linking): greedy, class by class,
best tube first. A tube takes the best scored box of the very next frame with an IoU of at least 0.5 to its last
box; if there is none, the tube ends, as gaps are not allowed. Two differences: upstream stores linked boxes as float32
pixels, and our sorts are stable, so that equal scores have one order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.box_arrays import Floats, Ints
from pipeline.evaluation.multisports.tubes import Tubes, pixel_box_iou
from pipeline.evaluation.protocols import MIN_FRAMES

LINK_IOU = 0.5
SUPPRESS_IOU = 0.6
BOXES_PER_FRAME = 10
MIN_SCORE = 0.005


@dataclass(frozen=True)
class FrameBoxes:
    """N detections; detections of one class, film and frame are in the order of their table."""

    video: Ints
    label: Ints
    frame: Ints  # number of the frame in its film
    boxes_xyxy: Floats  # [N, 4]
    score: Floats


@dataclass
class _Tube:
    first: int
    boxes: list[Floats]
    scores: list[float]

    def score(self) -> float:
        return float(np.mean(self.scores))


def link_tubes(found: FrameBoxes, *, pixels: Floats | None = None, min_frames: int = MIN_FRAMES) -> Tubes:
    """Link detections to tubes.

    Args:
        found: the detections.
        pixels: [V, 2] width and height of one pixel of each film, in the unit of the boxes. Upstream adds one pixel to
            every side in the suppression within a frame (and only there). None adds nothing.
        min_frames: shorter tubes are dropped; so are tubes whose boxes have a mean score below 0.005.

    Returns:
        Tubes sorted by class, then by film, then by the order in which they end. A tube's score is the mean of its
        boxes' scores.
    """
    order = np.lexsort((found.frame, found.video, found.label))
    films: list[tuple[int, int, _Tube]] = []
    for rows in _runs(order, found.label[order], found.video[order]):
        video, label = int(found.video[rows[0]]), int(found.label[rows[0]])
        pixel = (0.0, 0.0) if pixels is None else (float(pixels[video, 0]), float(pixels[video, 1]))
        tubes = _link_film(found.frame[rows], found.boxes_xyxy[rows], found.score[rows], pixel)
        films += [(video, label, tube) for tube in tubes if len(tube.boxes) >= min_frames and tube.score() >= MIN_SCORE]
    boxes = [box for _, _, tube in films for box in tube.boxes]
    return Tubes(
        video=np.array([video for video, _, _ in films], np.int64),
        label=np.array([label for _, label, _ in films], np.int64),
        first=np.array([tube.first for _, _, tube in films], np.int64),
        offsets=np.cumsum([0, *(len(tube.boxes) for _, _, tube in films)]),
        boxes_xyxy=np.array(boxes, np.float64).reshape(-1, 4),
        score=np.array([tube.score() for _, _, tube in films], np.float64),
    )


def suppress(boxes_xyxy: Floats, scores: Floats, pixel: tuple[float, float] = (0.0, 0.0)) -> tuple[Floats, Floats]:
    """Lower the scores of boxes that a better box covers, and keep the ten best boxes of a frame.

    This equals upstream's `nms_tubelets(threshold 0.6, top_k 10)`: a box whose IoU with a better, uncovered box is
    above 0.6 is not dropped; its score is multiplied by 1 - IoU.

    Args:
        boxes_xyxy: of one frame, [n, 4], as shares of the frame.
        scores: [n].
        pixel: width and height of a pixel, which upstream adds to a box's sides; 0 to add nothing.

    Returns:
        Boxes and scores, best first; of equal scores the last comes first, as in upstream's reversed sort.
    """
    if len(scores) == 1:
        return boxes_xyxy, scores
    order = np.argsort(scores, kind="stable")[::-1]
    overlap = pixel_box_iou(boxes_xyxy[:, None], boxes_xyxy[None], pixel)
    weight = np.ones(len(scores))
    waiting = np.ones(len(scores), bool)
    for best in order:
        if not waiting[best]:
            continue
        waiting[best] = False
        covered = waiting & (overlap[best] > SUPPRESS_IOU)
        weight[covered] = 1 - overlap[best, covered]
        waiting &= ~covered
    lowered = scores * weight
    kept = np.argsort(lowered, kind="stable")[::-1][:BOXES_PER_FRAME]
    return boxes_xyxy[kept], lowered[kept]


def _runs(values: Ints, *keys: Ints) -> Iterator[Ints]:
    """Yield `values` in parts, cut where any of the keys changes."""
    if len(values):
        changes = np.logical_or.reduce([np.diff(key) != 0 for key in keys])
        yield from np.split(values, np.flatnonzero(changes) + 1)


def _link_film(frames: Ints, boxes: Floats, scores: Floats, pixel: tuple[float, float]) -> list[_Tube]:
    """Return the tubes of one class in one film, in the order in which they end."""
    done: list[_Tube] = []
    current: list[_Tube] = []
    before = None
    for rows in _runs(np.arange(len(frames)), frames):
        frame = int(frames[rows[0]])
        shown, shown_scores = suppress(boxes[rows], scores[rows], pixel)
        current = _best_first(current)
        if before is not None and frame != before + 1:
            done, current = done + current[::-1], []
        current, ended = _grow(current, frame, shown, shown_scores)
        done += ended[::-1]
        before = frame
    return done + _best_first(current)[::-1]


def _best_first(tubes: list[_Tube]) -> list[_Tube]:
    return sorted(tubes, key=lambda tube: -tube.score()) if len(tubes) > 1 else tubes


def _grow(tubes: list[_Tube], frame: int, boxes: Floats, scores: Floats) -> tuple[list[_Tube], list[_Tube]]:
    """Give each tube a box of the next frame, best tube first; remaining boxes start new tubes."""
    grown: list[_Tube] = []
    ended: list[_Tube] = []
    free = np.ones(len(boxes), bool)
    if tubes:
        overlap = pixel_box_iou(np.stack([tube.boxes[-1] for tube in tubes])[:, None], boxes[None])
        for tube, near in zip(tubes, overlap >= LINK_IOU, strict=True):
            near &= free
            if not near.any():
                ended.append(tube)
                continue
            best = int(np.argmax(np.where(near, scores, -np.inf)))
            free[best] = False
            tube.boxes.append(boxes[best])
            tube.scores.append(float(scores[best]))
            grown.append(tube)
    return grown + [_Tube(frame, [boxes[i]], [float(scores[i])]) for i in np.flatnonzero(free)], ended

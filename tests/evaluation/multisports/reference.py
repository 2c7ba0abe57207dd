"""A slow MultiSports evaluation in plain loops, written from a description of upstream's code.

Boxes are tuples, frames are integers. `found` is a list of rows (video, frame, class, box, score) in order, `truth` a
list of rows (video, frame, class, box, person).
"""

import math
from functools import reduce


def iou_of(a, b, pixel=0.0):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + pixel)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + pixel)
    area = (a[2] - a[0] + pixel) * (a[3] - a[1] + pixel) + (b[2] - b[0] + pixel) * (b[3] - b[1] + pixel)
    union = area - width * height
    return width * height / union if union else math.nan


def mean_of(values):
    return reduce(lambda total, value: total + value, values) / len(values)


def thin_out(boxes, pixel):
    """Boxes (box, score) of one frame and class, best first, the covered ones with a lower score; ten at most."""
    numbered = sorted(range(len(boxes)), key=lambda i: (boxes[i][1], i), reverse=True)
    factor: dict[int, float] = {}
    while numbered:
        best = numbered.pop(0)
        factor.setdefault(best, 1.0)
        left = []
        for other in numbered:
            iou = iou_of(boxes[best][0], boxes[other][0], pixel)
            if iou > 0.6:
                factor[other] = 1 - iou
            else:
                left.append(other)
        numbered = left
    lowered = [(box, score * factor[i]) for i, (box, score) in enumerate(boxes)]
    best_first = sorted(range(len(lowered)), key=lambda i: (lowered[i][1], i), reverse=True)
    return [lowered[i] for i in best_first[:10]]


def link(found, *, pixel, min_frames):
    """{class: [(video, score, {frame: box})]} in the order in which tubes end, film by film."""
    tubes: dict[int, list] = {}
    for label in sorted({row[2] for row in found}):
        for video in sorted({row[0] for row in found}):
            mine = [row for row in found if row[2] == label and row[0] == video]
            current: list[list[tuple]] = []
            ended: list[list[tuple]] = []
            # One frame more than there are: in it every tube ends.
            for frame in range(min((row[1] for row in mine), default=0), max((row[1] for row in mine), default=0) + 2):
                boxes = thin_out([(row[3], row[4]) for row in mine if row[1] == frame], pixel)
                current.sort(key=lambda tube: -mean_of([score for _, _, score in tube]))
                ending = []
                for tube in current:
                    near = [i for i, (box, _) in enumerate(boxes) if iou_of(box, tube[-1][1]) >= 0.5]
                    if near:
                        box, score = boxes.pop(max(near, key=lambda i: (boxes[i][1], -i)))
                        tube.append((frame, box, score))
                    else:
                        ending.append(tube)
                ended += ending[::-1]
                current = [tube for tube in current if not any(tube is other for other in ending)]
                current += [[(frame, box, score)] for box, score in boxes]
            for tube in ended:
                score = mean_of([score for _, _, score in tube])
                if len(tube) >= min_frames and score >= 0.005:
                    tubes.setdefault(label, []).append((video, score, {frame: box for frame, box, _ in tube}))
    return tubes


def truth_tubes(truth):
    """{class: [(video, {frame: box})]}; a person's frames are cut where one is missing."""
    tubes: dict[int, list] = {}
    for key in sorted({(row[2], row[0], row[4]) for row in truth}):
        boxes = {row[1]: row[3] for row in truth if (row[2], row[0], row[4]) == key}
        for frame in sorted(boxes):
            if frame - 1 not in boxes:
                tubes.setdefault(key[0], []).append((key[1], {}))
            tubes[key[0]][-1][1][frame] = boxes[frame]
    return tubes


def tube_iou(a, b):
    first, last = max(min(a), min(b)), min(max(a), max(b))
    if last <= first:
        return 0.0
    spatial = [iou_of(a[frame], b[frame]) for frame in range(first, last + 1)]
    return sum(spatial) / len(spatial) * ((last - first) / (max(max(a), max(b)) - min(min(a), min(b))))


def average_precision(outcomes, num_gt):
    """Outcomes (score, is true) best first; of equal scores the wrong ones come first."""
    outcomes = sorted(outcomes, key=lambda each: (-each[0], each[1]))
    precision, recall, right = [], [], 0
    for rank, (_, is_true) in enumerate(outcomes, start=1):
        right += is_true
        precision.append(right / rank)
        recall.append(right / num_gt)
    area, before = 0.0, 0.0
    for rank, at in enumerate(recall):
        area += (at - before) * max(precision[rank:])
        before = at
    return area


def outcomes(found, wanted, overlap, threshold):
    """(score, is true) of `found` (key, score, thing), each claiming of the `wanted` (key, thing) the nearest."""
    taken, result = set(), []
    for key, score, thing in sorted(found, key=lambda each: -each[1]):
        nearest, greatest = None, -1.0
        for number, (other_key, other) in enumerate(wanted):
            if other_key == key and overlap(thing, other) > greatest:
                nearest, greatest = number, overlap(thing, other)
        is_true = nearest is not None and greatest >= threshold and nearest not in taken
        if is_true:
            taken.add(nearest)
        result.append((score, is_true))
    return result


def frame_ap(truth, found, classes, threshold=0.5):
    result = []
    for label in classes:
        wanted = [((row[0], row[1]), row[3]) for row in truth if row[2] == label]
        mine = [((row[0], row[1]), row[4], row[3]) for row in found if row[2] == label]
        scored = outcomes(mine, wanted, iou_of, threshold)
        result.append(average_precision(scored, len(wanted)) if wanted else math.nan)
    return result


def video_ap(truth, found, classes, thresholds, *, pixel=0.0, min_frames=15, slip=False):
    """AP by class, the mean over thresholds; `slip`: every box has the last one's score."""
    if slip:
        found = [(*row[:4], found[-1][4]) for row in found]
    wanted, shown = truth_tubes(truth), link(found, pixel=pixel, min_frames=min_frames)
    result = []
    for label in classes:
        mine = shown.get(label, [])
        if slip:
            mine = sorted(mine, key=lambda tube: -tube[1])
            mine = [(video, -rank, boxes) for rank, (video, _, boxes) in enumerate(mine)]
        if label not in wanted:
            result.append(math.nan)
            continue
        aps = [
            average_precision(outcomes(mine, wanted[label], tube_iou, threshold), len(wanted[label]))
            for threshold in thresholds
        ]
        result.append(sum(aps) / len(aps))
    return result

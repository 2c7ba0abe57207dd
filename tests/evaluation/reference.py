"""A slow evaluation in plain loops, written from a description of the official code and of its copies."""

import heapq
import math

import numpy as np


def read(rows, class_ids, capacity, order):
    """(frame, class, box, value) of the rows that the reader keeps, and in its order."""
    frames: dict = {}
    for number, (frame, class_id, (x1, y1, x2, y2), value) in enumerate(rows):
        if class_id not in class_ids:
            continue
        entry = (1.0 if value is None else value, class_id, y1, x1, y2, x2, number)
        kept = frames.setdefault(frame, [])
        if order != "heap":
            kept.append(entry)
        elif not capacity or len(kept) < capacity:
            heapq.heappush(kept, entry)
        elif entry[0] > kept[0][0]:
            heapq.heapreplace(kept, entry)
    result = []
    for frame, entries in frames.items():
        if order != "file":
            entries = sorted(entries, key=lambda entry: -entry[0])
        for value, class_id, y1, x1, y2, x2, _ in entries:
            result.append((frame, class_id, (x1, y1, x2, y2), value))
    return result


def iou_of(one, other, single):
    if single:
        one, other = [np.float32(v) for v in one], [np.float32(v) for v in other]
    width = max(0.0, float(min(one[2], other[2]) - max(one[0], other[0])))
    height = max(0.0, float(min(one[3], other[3]) - max(one[1], other[1])))
    areas = (one[3] - one[1]) * (one[2] - one[0]) + (other[3] - other[1]) * (other[2] - other[0])
    union = float(areas) - height * width
    return height * width / union if union else math.nan


def average_precision(detections, num_gt):
    """detections: (score, is true). Of tied ones the wrong come first."""
    precision, recall, found = [], [], 0
    for rank, (_, is_true) in enumerate(sorted(detections, key=lambda each: (-each[0], each[1])), start=1):
        found += is_true
        precision.append(found / rank)
        recall.append(found / num_gt)
    area, before = 0.0, 0.0
    for index, at in enumerate(recall):
        if at > before:
            area += (at - before) * max(precision[index:])
            before = at
    return area


def evaluate(truth, detections, *, empty, excluded, class_ids, protocol, cap, iou):
    """AP by class, NaN where undefined; rows are (frame, class, box, person id or score)."""
    official, mm1 = protocol == "official", protocol == "mmaction2_1x"
    order = {"official": "heap", "mmaction2_1x": "value", "mmaction2_0x": "value"}.get(protocol, "file")
    named = ({row[0] for row in truth} | set(empty)) - set(excluded)
    boxes = read(truth, class_ids, 0, order)
    if not mm1:
        boxes = [box for box in boxes if box[0] not in excluded]
    kept_order = "heap" if official else "file" if protocol == "pyslowfast" else "value"
    kept = read(detections, class_ids, cap if official else 0, kept_order)
    kept = [row for row in kept if row[0] not in excluded]
    if official:
        kept = [row for row in kept if row[0] in named]
    if mm1:
        kept = [row for row in kept if row[0] in {box[0] for box in boxes}]
        kept = [(*row[:3], float(np.float32(row[3]))) for row in kept]
    else:
        kept = [row for row in kept if row[2][0] < row[2][2] and row[2][1] < row[2][3]]
    result = {}
    for class_id in class_ids:
        taken = set()
        outcome = []
        mine = [box for box in boxes if box[1] == class_id]
        for frame, _, box, score in (row for row in kept if row[1] == class_id):
            best, best_iou = None, -1.0
            for index, other in enumerate(mine):
                overlap = iou_of(box, other[2], mm1) if other[0] == frame else -1.0
                if math.isnan(overlap):  # greater than everything for argmax, and below every threshold
                    best, best_iou = None, math.inf
                elif overlap > best_iou:
                    best, best_iou = index, overlap
            is_true = best is not None and best_iou >= iou and best not in taken
            if is_true:
                taken.add(best)
            outcome.append((score, is_true))
        undefined = not mine or (mm1 and not outcome)
        result[class_id] = math.nan if undefined else average_precision(outcome, len(mine))
    return result

"""Collect the persons and detected boxes of the counted keyframes, and which of them overlap."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.evaluation.ava_map import Counted
from pipeline.evaluation.box_arrays import Bools, Floats, Ints
from pipeline.tables.iou import pair_iou
from pipeline.tables.ordering import first_alike
from pipeline.tables.schemas import BOX_COLUMNS

BACKGROUND_IOU = 0.1


@dataclass(frozen=True)
class DistinctBoxes:
    """The distinct boxes of a table."""

    frame: Ints  # [N]
    xyxy: Floats  # [N, 4]
    of_row: Ints  # for every row of the table, its box; -1 if the row takes no part


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a detected box and a person in one frame with an IoU of at least BACKGROUND_IOU."""

    box: Ints  # [K]
    person: Ints  # [K]
    iou: Floats  # [K]
    near: float
    "The matching threshold."

    @property
    def is_right(self) -> Bools:
        """Return a mask of the pairs whose IoU reaches the matching threshold."""
        return self.iou >= self.near


@dataclass(frozen=True)
class Scene:
    """Persons and detected boxes, with the actions of the persons and the scores of the boxes."""

    persons: DistinctBoxes
    boxes: DistinctBoxes
    overlaps: Overlaps
    does: Bools  # [persons, C]
    score: Floats  # [boxes, C] score of the best row, also of rows above the cap; 0 without a row


def distinct_boxes(table: pa.Table, frame: Ints, takes_part: Bools) -> DistinctBoxes:
    """Return the distinct boxes of the rows that take part.

    Args:
        table: rows with the columns of a box; several rows of one box have the same four numbers.
        frame: number of the frame of each row, [rows].
        takes_part: whether a row takes part, [rows].
    """
    rows = np.flatnonzero(takes_part)
    corners = [table[name].to_numpy()[rows] for name in BOX_COLUMNS]
    first, of_row = np.unique(first_alike([frame[rows], *corners]), return_inverse=True)
    place = np.full(len(frame), -1)
    place[rows] = of_row
    return DistinctBoxes(frame[rows][first], np.stack(corners, axis=1)[first], place)


def build_scene(annotations: pa.Table, detections: pa.Table, counted: Counted, iou: float) -> Scene:
    """Collect persons of any class, as a box on any person is not background, and boxes with rows of any score."""
    is_shown = counted.counts[counted.truth_frame]
    is_shown[counted.truth.row] = True  # also labels of frames whose detections do not count
    persons = distinct_boxes(annotations, counted.truth_frame, is_shown)
    boxes = distinct_boxes(detections, counted.detection_frame, counted.counts[counted.detection_frame])
    by_frame = np.argsort(persons.frame, kind="stable")
    first, last = (np.searchsorted(persons.frame[by_frame], boxes.frame, side) for side in ("left", "right"))
    count = last - first
    box = np.repeat(np.arange(len(count)), count)
    person = by_frame[np.arange(len(box)) + np.repeat(first - (np.cumsum(count) - count), count)]
    overlap = pair_iou(boxes.xyxy[box], persons.xyxy[person])
    kept = overlap >= BACKGROUND_IOU
    does = np.zeros((len(persons.frame), len(counted.class_ids)), bool)
    does[persons.of_row[counted.truth.row], counted.truth.label] = True
    score = np.zeros((len(boxes.frame), len(counted.class_ids)))
    wanted = np.isin(detections["action_id"].to_numpy(), counted.class_ids) & (boxes.of_row >= 0)
    label = np.searchsorted(counted.class_ids, detections["action_id"].to_numpy()[wanted])
    np.maximum.at(score, (boxes.of_row[wanted], label), detections["score"].to_numpy()[wanted])
    return Scene(persons, boxes, Overlaps(box[kept], person[kept], overlap[kept], iou), does, score)


def best_score_on(scene: Scene) -> Floats:
    """Return for each person the best score, of any class, of the boxes on that person."""
    pairs, right = scene.overlaps, scene.overlaps.is_right
    best = np.zeros(len(scene.persons.frame))
    np.maximum.at(best, pairs.person[right], scene.score.max(axis=1, initial=0)[pairs.box[right]])
    return best

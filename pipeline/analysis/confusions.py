"""Find the actions that are scored above the actions that a person does."""

from dataclasses import dataclass

import numpy as np

from pipeline.analysis.error_kinds import Errors
from pipeline.evaluation.box_arrays import Floats, Ints


@dataclass(frozen=True)
class Confusions:
    """For each class A: how other classes are scored on persons who do A and have a box at the matching threshold."""

    boxed: Ints  # [C] number of labels of A whose person has such a box
    rank: Floats  # [C] mean rank of A among all classes of the box, 1 the best; NaN without such labels
    examples: Ints  # [C, C] number of these labels whose person does not do B
    above: Ints  # [C, C] how often B is scored above A in them
    other_rank: Floats  # [C, C] mean rank of B in them


def find_confusions(errors: Errors) -> Confusions:
    """Compare the class scores of the box with the largest overlap on each person; a class without a row scores 0."""
    scene, truth, pairs = errors.scene, errors.counted.truth, errors.scene.overlaps
    best = np.flatnonzero(pairs.is_right)
    best = best[np.lexsort((pairs.box[best], -pairs.iou[best], pairs.person[best]))]
    best = best[np.diff(pairs.person[best], prepend=-1) != 0]
    box_of = np.full(len(scene.persons.frame), -1)
    box_of[pairs.person[best]] = pairs.box[best]
    person = scene.persons.of_row[truth.row]
    boxed = box_of[person] >= 0
    person, label = person[boxed], truth.label[boxed]
    score, does = scene.score[box_of[person]], scene.does[person]
    rank = np.stack([1 + (score > score[:, each : each + 1]).sum(axis=1) for each in range(score.shape[1])], axis=1)
    higher = (score > score[np.arange(len(label)), label][:, None]) & ~does
    classes = len(errors.class_ids)
    examples, above = np.zeros((2, classes, classes), np.int64)
    ranks = np.zeros((classes, classes))
    np.add.at(examples, label, ~does)
    np.add.at(above, label, higher)
    np.add.at(ranks, label, np.where(does, 0, rank))
    counts = np.bincount(label, minlength=classes)
    own = np.bincount(label, rank[np.arange(len(label)), label], classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Confusions(counts, own / counts, examples, above, ranks / examples)

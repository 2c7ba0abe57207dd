"""The score from which an action is shown, by class: where F1 is best on the validation split."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.evaluation.ava_map import match, true_positives
from pipeline.evaluation.curves import precision_recall
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import DETECTIONS, read_table
from pipeline.tables.split_tables import read_tables

IOU = 0.5
UNKNOWN = 0.5
"The threshold of a class that validation says nothing about."
DETECTED = Path("results/detections/detected.parquet")


def class_thresholds(
    annotations: pa.Table, keyframes: pa.Table, detections: pa.Table, class_ids: Sequence[int]
) -> dict[int, float]:
    """Return for each class the score at which F1 = 2 precision recall / (precision + recall) is largest.

    Precision and recall are those of AVA's evaluation (IoU 0.5). Of equal F1 the highest score is taken. A class
    without a true positive has no such score, and gets UNKNOWN.

    Args:
        annotations: ANNOTATIONS of the val split.
        keyframes: its KEYFRAMES.
        detections: DETECTIONS of its detected boxes.
        class_ids: the classes.
    """
    matching = match(annotations, detections, class_ids=class_ids, keyframes=keyframes)
    counts = matching.num_gt.sum(1)
    thresholds = dict.fromkeys(class_ids, UNKNOWN)
    for index, (class_id, hits) in enumerate(
        zip(matching.class_ids.tolist(), true_positives(matching, IOU), strict=True)
    ):
        if not len(hits):
            continue
        recall, precision = precision_recall(hits, matching.class_scores(index), int(counts[index]))
        f1 = 2 * precision * recall / (precision + recall)
        thresholds[class_id] = float(np.unique(hits)[::-1][f1.argmax()])
    return thresholds


def project_thresholds(root: Path, annotations: Path, labels: Sequence[Label]) -> dict[int, float]:
    """Return the thresholds of a project that was evaluated; UNKNOWN for all classes where it was not.

    Args:
        root: the project's folder.
        annotations: the out of import_annotations.
        labels: the classes.

    Raises:
        InputError: a table is damaged or of another form.
    """
    ids = [label.id for label in labels]
    if not (root / DETECTED).is_file() or not annotations.is_dir():
        return dict.fromkeys(ids, UNKNOWN)
    truth, keyframes = read_tables(annotations, None).of_split("val")
    return class_thresholds(truth, keyframes, read_table(root / DETECTED, DETECTIONS), ids)

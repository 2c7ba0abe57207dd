from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.predict.class_thresholds import UNKNOWN, class_thresholds, project_thresholds
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, DETECTIONS, KEYFRAMES

BOX = {"x1": 0.1, "y1": 0.1, "x2": 0.5, "y2": 0.9}


def rows(schema: pa.Schema, *moments: tuple, **columns) -> pa.Table:
    made = []
    for second, action, *more in moments:
        row = {"video_id": "a", "timestamp": float(second), "time_seconds": float(second), "action_id": action, **BOX}
        made.append({**row, **columns, **({"score": more[0]} if more else {})})
    return pa.Table.from_pylist(made, schema)


def test_the_threshold_is_the_score_of_the_best_f1() -> None:
    """Class 1: hits at 0.9, 0.6 and 0.3, misses at 0.5, 0.4 and 0.35: F1 is 0.5, 0.8 and 0.67. Class 2 is never hit."""
    truth = rows(ANNOTATIONS, (0, 1), (1, 1), (2, 1), (3, 2), person_id=0)
    keyframes = pa.Table.from_pylist(
        [{"video_id": "a", "timestamp": float(at), "time_seconds": float(at), "split": "val", "status": "annotated"}
         for at in range(7)], KEYFRAMES,
    )  # fmt: skip
    found = rows(DETECTIONS, (0, 1, 0.9), (1, 1, 0.6), (2, 1, 0.3), (4, 1, 0.5), (5, 1, 0.4), (6, 1, 0.35), (4, 2, 0.9))
    assert class_thresholds(truth, keyframes, found, [1, 2, 3]) == {1: 0.6, 2: UNKNOWN, 3: UNKNOWN}


def test_of_equal_f1_the_highest_score_is_taken() -> None:
    """One box found at 0.8 of two: 2/3; the second at 0.4 after two misses: precision 2/4, recall 1: 2/3."""
    truth = rows(ANNOTATIONS, (0, 1), (1, 1), person_id=0)
    keyframes = pa.Table.from_pylist(
        [{"video_id": "a", "timestamp": float(at), "time_seconds": float(at), "split": "val", "status": "annotated"}
         for at in range(4)], KEYFRAMES,
    )  # fmt: skip
    found = rows(DETECTIONS, (0, 1, 0.8), (2, 1, 0.7), (3, 1, 0.6), (1, 1, 0.4))
    assert class_thresholds(truth, keyframes, found, [1])[1] == pytest.approx(0.8)


def test_a_project_that_was_never_evaluated_knows_none(tmp_path: Path) -> None:
    assert project_thresholds(tmp_path, tmp_path / "annotations", [Label(2, "b", "x")]) == {2: UNKNOWN}

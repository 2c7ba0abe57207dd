"""What a validation counts as detections."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.base.errors import InputError
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.tables.keyframes import Keyframe
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.split_tables import Tables
from pipeline.training.validation import check_val_labels, validator

BOX, OTHER = (0.1, 0.1, 0.4, 0.8), (0.5, 0.1, 0.9, 0.9)


def table(schema: pa.Schema, *rows: tuple) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


TABLES = Tables(
    annotations=table(ANNOTATIONS, ("a", 900.0, 0.0, *BOX, 1, 0), ("a", 900.0, 0.0, *OTHER, 2, 1)),
    keyframes=table(KEYFRAMES, ("a", 900.0, 0.0, "val", "annotated")),
    labels=[Label(1, "sit", "g"), Label(2, "stand", "g")],
    boxes=None,
)


@pytest.mark.parametrize(("options", "expected"), [({}, 0.75), ({"decode": "argmax"}, 1.0)])
def test_with_argmax_a_boxs_second_class_is_no_false_positive(options: dict, expected: float) -> None:
    # The second box is right, and is scored higher for class 1 than the box that is it.
    scores = np.array([[0.5, 0.4], [0.6, 0.7]], np.float32)
    scored = [ScoredKeyframe(Keyframe("a", 900.0, 0.0), np.array([BOX, OTHER]), scores)]
    validate = validator(lambda: {"detected": scored, "ground_truth": []}, TABLES, headline="detected", **options)
    assert validate()["map"] == expected


def test_what_goes_by_the_map_needs_a_label_of_val() -> None:
    check_val_labels(TABLES, "baseline.early_stop.patience 3")
    one = replace(TABLES, keyframes=table(KEYFRAMES, ("a", 900.0, 0.0, "val", "excluded")))
    others = [
        replace(TABLES, labels=[Label(7, "run", "g")]),
        one,
        replace(TABLES, keyframes=table(KEYFRAMES, ("a", 900.0, 0.0, "train", "annotated"))),
        replace(TABLES, annotations=TABLES.annotations.slice(0, 0)),
    ]
    for tables, keyframes in zip(others, (1, 0, 0, 1), strict=True):
        with pytest.raises(InputError) as error:
            check_val_labels(tables, "baseline.early_stop.patience 3")
        assert str(error.value) == (
            f"baseline.early_stop.patience 3 goes by the mAP of val, which has no label of a scored class in its "
            f"{keyframes} keyframes; expected 1 or more: annotate a film of val, or take the setting back"
        )

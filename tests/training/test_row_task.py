"""What `fit` is told of a training on rows of a bank."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.features.windows import WindowSource
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.settings import Labels
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, KEYFRAMES
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import Tables
from pipeline.training.row_steps import training_rows
from pipeline.training.row_task import RowData, row_task, val_rows
from pipeline.training.settings import Training
from tests.bank.banks import make_rows, write_small_bank
from tests.training.settings import training_settings
from tests.windows import window_of

HARDWARE = Hardware(torch.device("cpu"), 1, 1)


@pytest.fixture(scope="module")
def bank(scratch: Path) -> Bank:
    """Two detected and two annotated persons at each of three seconds; scores from 0.5 to 0.9."""
    truth = make_rows(dict.fromkeys((0.0, 1.0, 2.0), 2), scored=False)
    rows = {"v": make_rows(dict.fromkeys((0.0, 1.0, 2.0), 2))}
    return open_bank(write_small_bank(scratch / "train.zarr", rows, ground_truth=truth))


def keyframes(bank: Bank) -> list[KeyframeBoxes]:
    truth = bank.rows("v", "ground_truth")
    found = []
    for at in (0.0, 1.0, 2.0):
        boxes = truth.boxes_xyxy[truth.timestamp == at]
        labels = np.eye(3, dtype=bool)[: len(boxes)]
        found.append(KeyframeBoxes(Keyframe("v", at, at), boxes, labels, boxes[:0], np.empty(0)))
    return found


def tables_of(keyframes: list[KeyframeBoxes]) -> Tables:
    """Their annotations, as those of val."""
    at = [(each.keyframe.video_id, each.keyframe.timestamp, each.keyframe.time_seconds) for each in keyframes]
    labels = [
        (*moment, *box, int(action) + 1, None)
        for moment, each in zip(at, keyframes, strict=True)
        for box, action in zip(each.ground_truth_xyxy.tolist(), each.labels.argmax(axis=1), strict=True)
    ]
    annotations, named = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        for schema, rows in ((ANNOTATIONS, labels), (KEYFRAMES, [(*moment, "val", "annotated") for moment in at]))
    )
    return Tables(annotations, named, [Label(1, "walk", "x"), Label(2, "sit", "x")], None)


def validation(**changes: Any) -> Training:
    return training_settings(validation={"interval": 1, "boxes": "detected", "box_threshold": 0.95, **changes})


def test_val_has_the_detected_rows_that_pass_and_all_annotated_ones(bank: Bank) -> None:
    found = val_rows(bank, keyframes(bank), validation(box_threshold=0.0))
    assert {kind: len(rows.features) for kind, rows in found.items()} == {"detected": 6, "ground_truth": 6}


def test_a_threshold_that_no_row_reaches_is_refused_where_the_rows_are_scored(bank: Bank) -> None:
    with pytest.raises(InputError, match=r" a score of at least 0\.95 \(baseline\.validation\.box_threshold\): the "):
        val_rows(bank, keyframes(bank), validation())
    for pardoned in (validation(boxes="ground_truth"), validation(interval=0)):
        found = val_rows(bank, keyframes(bank), pardoned)
        assert {kind: len(rows.features) for kind, rows in found.items()} == {"detected": 0, "ground_truth": 6}


@pytest.mark.parametrize("name", ["linear", "lfb_max"])
def test_an_epoch_has_the_steps_that_are_announced_and_validation_scores_the_annotated_persons(
    bank: Bank, name: str
) -> None:
    scored = {"interval": 1, "boxes": "ground_truth", "box_threshold": 0.0}
    settings = training_settings(global_batch=2, bn_batch=1, validation=scored)
    window = None
    if name != "linear":
        window = WindowSource(ResidentWindows([bank], min_score=0.5), window_of(3, 2))
    head = build_head(name, HeadSettings(roi_channels=4, bank_channels=4, classes=3)).eval()
    train = training_rows(bank, keyframes(bank), rule=BoxRule(0.5), match_iou=0.5)
    data = RowData(train, val_rows(bank, keyframes(bank), settings), window, tables_of(keyframes(bank)))
    task = row_task(head, data, settings, labels=Labels(), hardware=HARDWARE)
    steps = [(list(step.parts), step.count) for step in task.steps_of(0)]
    assert task.what == "train head"
    assert [count for _, count in steps] == [2, 1]
    assert task.steps_per_epoch == len(steps)
    for parts, _ in steps:
        for part in parts:
            assert (part.window is None) == (window is None)
    assert task.loss_of(steps[0][0][0]).requires_grad
    assert task.validate()["map"] > 0.3, "each annotated box is scored for both classes"

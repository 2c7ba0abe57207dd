"""Rows of a small bank, grouped, labelled, scored: against plain loops."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.bank.feature_rows import FeatureRows, VideoRows
from pipeline.bank.reader import Bank, open_bank
from pipeline.bank.row_places import rows_at
from pipeline.bank.windows.resident import ResidentWindows
from pipeline.bank.writer import assemble_bank, write_part
from pipeline.base.errors import InputError
from pipeline.features.windows import WindowSource
from pipeline.models.context import Context
from pipeline.models.heads.head import HeadSettings
from pipeline.models.heads.table import build_head
from pipeline.models.scores import action_scores
from pipeline.models.settings import Labels, columns
from pipeline.scoring.detections import detections_table
from pipeline.scoring.keyframe_rows import KeyframeRows, places_above, score_rows, scoring_rows
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes, pack_keyframes
from pipeline.tables.select_boxes import BoxRule
from pipeline.training.losses import make_loss
from pipeline.training.row_steps import head_loss, row_steps, steps_per_pass, training_rows
from pipeline.training.steps import Stretch
from tests.training.settings import training_settings
from tests.windows import window_of

FIRST = Stretch(0, 0, 2)
BOXES = np.array([[0.1, 0.1, 0.4, 0.8], [0.5, 0.1, 0.9, 0.9], [0.2, 0.3, 0.6, 0.7]])
CPU = torch.device("cpu")


def features(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None] * np.ones(4, np.float32)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    parts = {}
    for number, video in enumerate(["a", "b"]):
        base = 100 * number
        detections = FeatureRows(
            features(*(base + np.arange(5))),
            np.array([900.0, 900, 901, 902, 902]),
            np.stack([BOXES[0], BOXES[1], BOXES[2], BOXES[0] + 0.001, BOXES[1]]),
            np.array([0.95, 0.9, 0.99, 0.97, 0.92]),
        )
        truth = FeatureRows(features(base + 50, base + 51), np.array([900.0, 902.0]), BOXES[[0, 0]])
        folder = tmp_path / "parts" / video
        write_part(
            folder, part=video, rows=VideoRows(detections, truth), seconds_seen=[900, 901, 902],
            attributes={"checkpoint_sha256": "x", "box_threshold": 0.9}, dtype="fp32", codec="none",
        )  # fmt: skip
        parts[video] = folder
    provenance = {"checkpoint_sha256": "x", "box_threshold": 0.9}
    assemble_bank(tmp_path / "train.zarr", parts=parts, split="train", provenance=provenance)
    return open_bank(tmp_path / "train.zarr")


def keyframe(video: str, timestamp: float, *boxes: int) -> KeyframeBoxes:
    labels = np.zeros((len(boxes), 3), bool)
    labels[np.arange(len(boxes)), list(boxes)] = True
    return KeyframeBoxes(
        Keyframe(video, timestamp, timestamp - 900), BOXES[list(boxes)], labels, BOXES[:0], np.empty(0)
    )


def values(rows: KeyframeRows) -> list[float]:
    """Of the first channel."""
    taken = rows.features.take(np.arange(len(rows.features)))
    assert torch.equal(torch.cat([taken[:0], *rows.features.chunks()]), taken)
    found: list[float] = taken[:, 0].tolist()
    return found


KEYFRAMES = [keyframe("a", 900, 0), keyframe("a", 901), keyframe("b", 902, 0), keyframe("c", 900, 0)]


def test_labelled_rows_are_annotated_boxes_and_the_detections_that_match(bank: Bank) -> None:
    rows = training_rows(bank, KEYFRAMES, rule=BoxRule(0.9), match_iou=0.9)
    assert rows.starts.tolist() == [0, 2, 2, 4, 4]
    assert values(rows) == [50, 0, 151, 103]
    assert rows.labels is not None
    assert rows.labels.tolist() == [[1, 0, 0]] * 4
    none = training_rows(bank, KEYFRAMES, rule=BoxRule(0.96), match_iou=0.9)
    assert values(none) == [50, 151, 103]
    best = training_rows(bank, KEYFRAMES, rule=BoxRule(0.96, lower=True), match_iou=0.9)
    assert values(best) == [50, 0, 151, 103]


def test_a_bank_of_other_annotations_is_refused(bank: Bank) -> None:
    with pytest.raises(InputError, match="1 of 1 annotated boxes of video a, timestamp 900 have no row; the bank was"):
        training_rows(bank, [keyframe("a", 900, 1)], rule=BoxRule(0.9), match_iou=0.9)


def test_a_threshold_is_compared_in_the_stored_type(bank: Bank) -> None:
    rows = rows_at(bank, pack_keyframes(KEYFRAMES), "detections")
    assert rows.score is not None
    assert rows.score.dtype == np.float32
    assert np.float32(0.9) in rows.score, "0.9 stored as float32 is below 0.9 in float64"
    assert len(places_above(rows, BoxRule(0.9)).row) == len(rows.row)
    assert places_above(rows, BoxRule(0.951)).row.tolist() == rows.row[rows.score > 0.951].tolist()
    unscored = rows_at(bank, pack_keyframes(KEYFRAMES), "ground_truth")
    assert places_above(unscored, BoxRule(1.0)) is unscored


def test_annotated_boxes_alone_are_trained_on_if_none_may_match(bank: Bank) -> None:
    matched = training_rows(bank, KEYFRAMES, rule=BoxRule(0.0), match_iou=0.9)
    alone = training_rows(bank, KEYFRAMES, rule=BoxRule(0.0), match_iou="none")
    assert values(alone) == [50, 151]
    assert set(values(alone)) < set(values(matched))
    assert alone.labels is not None
    assert alone.labels.shape[0] == 2
    assert alone.labels.any(dim=1).all()


def test_steps_hold_every_keyframe_once_with_its_window(bank: Bank) -> None:
    rows = training_rows(bank, KEYFRAMES, rule=BoxRule(0.9), match_iou=0.9)
    windows = ResidentWindows([bank], min_score=0.9)
    windows_of = WindowSource(windows, window_of(3, 2)).for_training(seed=1)
    assert steps_per_pass(rows, 1) == 2
    for epoch in (0, 1):
        given = row_steps(
            rows,
            Stretch(epoch, 0, 2),
            training_settings(global_batch=1, bn_batch=1, seed=3),
            window_of=windows_of(epoch),
        )
        steps = [(list(step.parts), step.count) for step in given]
        assert [(len(step), count) for step, count in steps] == [(1, 1), (1, 1)]
        assert sorted(step[0].rows[0, 0].item() for step, _ in steps if step[0].rows is not None) == [50, 151]
        batch = next(step[0] for step, _ in steps if step[0].rows is not None and step[0].rows[0, 0] == 151)
        assert batch.window is not None
        # Seconds 901, 902 and 903 of film b: one person, two persons, past the end.
        assert batch.window.mask.tolist() == [[True, False, True, True, False, False]]
        assert batch.window.rows[0, :, 0].tolist() == [102, 0, 103, 104, 0, 0]
    (step,) = row_steps(rows, FIRST, training_settings(global_batch=8, bn_batch=1, seed=3), window_of=None)
    assert (len(list(step.parts)), step.count) == (2, 2)
    orders = {
        tuple(
            float(part.rows[0, 0])
            for step in row_steps(
                rows, Stretch(epoch, 0, 2), training_settings(global_batch=1, bn_batch=1, seed=3), window_of=None
            )
            for part in step.parts
            if part.rows is not None
        )
        for epoch in range(8)
    }
    assert len(orders) == 2, "the order changes from epoch to epoch"


@pytest.mark.parametrize("name", ["linear", "lfb_nl", "lfb_max", "lfb_avg"])
def test_scores_are_those_of_the_head_called_keyframe_by_keyframe(bank: Bank, name: str) -> None:
    torch.manual_seed(0)
    sizes = HeadSettings(roi_channels=4, bank_channels=0 if name == "linear" else 4, classes=3)
    head = build_head(name, sizes).eval()
    scored_window = None
    if name != "linear":
        windows = ResidentWindows([bank], min_score=0.9)
        scored_window = WindowSource(windows, window_of(3, 2)).for_evaluation()
    rows = scoring_rows(bank, KEYFRAMES, "detections", rule=BoxRule(0.9))
    assert rows.starts.tolist() == [0, 2, 3, 5, 5]
    settings = ScoreSettings(CPU, "fp32", scored_window)
    together = score_rows(head, rows, settings)
    alone = [
        score_rows(head, scoring_rows(bank, [each], "detections", rule=BoxRule(0.9)), settings)[0] for each in KEYFRAMES
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.keyframe == other.keyframe
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    table = detections_table(together, action_threshold=0.0)
    assert len(table) == 5 * 3
    assert table["video_id"].to_pylist() == ["a"] * 9 + ["b"] * 6
    assert table["action_id"].to_pylist() == [1, 2, 3] * 5
    assert table["x1"].to_pylist()[0] == BOXES[0, 0], "the source's decimals are unchanged"
    few = detections_table(together, action_threshold=0.5)
    assert few["score"].to_pylist() == [each for each in table["score"].to_pylist() if each > 0.5]
    assert len(detections_table([], action_threshold=0.5)) == 0


def test_annotated_boxes_are_scored_too(bank: Bank) -> None:
    rows = scoring_rows(bank, KEYFRAMES, "ground_truth", rule=BoxRule(0.99))
    assert values(rows) == [50, 151]
    assert isinstance(detections_table([], action_threshold=0), pa.Table)


def test_the_loss_of_a_head_reaches_its_weights(bank: Bank) -> None:
    rows = training_rows(bank, KEYFRAMES, rule=BoxRule(0.9), match_iou=0.9)
    head = build_head("linear", HeadSettings(roi_channels=4, bank_channels=0, classes=3))
    (step,) = row_steps(rows, FIRST, training_settings(global_batch=8, bn_batch=8, seed=3), window_of=None)
    head_loss(head)(next(iter(step.parts))).backward()
    gradient = head.get_parameter("classifier.weight").grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_a_single_label_head_is_scored_by_softmax_and_trained_by_its_own_loss(bank: Bank) -> None:
    torch.manual_seed(0)
    kind = Labels("single", background=True)
    head = build_head("linear", HeadSettings(roi_channels=4, bank_channels=0, classes=columns(3, kind))).eval()
    rows = scoring_rows(bank, KEYFRAMES, "detections", rule=BoxRule(0.9))
    scored = score_rows(head, rows, ScoreSettings(CPU, "fp32", scores_of=partial(action_scores, kind=kind)))
    logits = head(rows.features.take(np.arange(5)).float(), Context(torch.zeros(5, dtype=torch.int64)))
    expected = torch.softmax(logits, dim=1)[:, 1:].detach().numpy()
    np.testing.assert_allclose(np.concatenate([each.scores for each in scored]), expected, atol=1e-6)
    (step,) = row_steps(
        training_rows(bank, KEYFRAMES, rule=BoxRule(0.9), match_iou=0.9),
        FIRST, training_settings(bn_batch=8, seed=3), window_of=None,
    )  # fmt: skip
    head_loss(head, make_loss(kind))(next(iter(step.parts))).backward()
    gradient = head.get_parameter("classifier.weight").grad
    assert gradient is not None
    assert (gradient[0] == 0).all(), "the background column is cut before the loss"
    assert gradient[1:].abs().sum() > 0

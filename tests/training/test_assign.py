import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.tables.iou import match_proposals
from pipeline.training.assign import assign_boxes

CASES = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2" / "assign_sample.json").read_text()
)["cases"]


def _boxes(values: list) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 4)


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("case", CASES[:2])
def test_boxes_and_labels_are_upstreams_in_upstreams_order(case: dict) -> None:
    proposals, truth = _boxes(case["proposals"]), _boxes(case["gt_bboxes"])
    match, overlap = match_proposals(proposals, truth)
    assert (match + 1).tolist() == case["assigned_gt_inds_before_adding_gt"]
    assert overlap == pytest.approx(case["max_overlaps"], rel=1e-6)
    found = assign_boxes(proposals, truth, np.array(case["gt_labels"]), generator=_generator())
    assert (found.positives, len(found.rows) - found.positives) == (case["num_pos"], case["num_neg"])
    assert np.concatenate([truth, proposals])[found.rows].tolist() == case["rois_in_order"]
    assert found.labels.tolist() == case["labels_in_order"]
    chosen = np.concatenate([truth, proposals])[found.rows]
    assert sorted(chosen[: found.positives].tolist()) == case["rois_pos_sorted"]
    assert sorted(chosen[found.positives :].tolist()) == case["rois_neg_sorted"]


def test_above_the_cap_positives_are_drawn_with_the_callers_generator() -> None:
    case = CASES[2]
    proposals, truth, labels = _boxes(case["proposals"]), _boxes(case["gt_bboxes"]), np.array(case["gt_labels"])

    def sample(seed: int) -> list[int]:
        found = assign_boxes(proposals, truth, labels, generator=_generator(seed))
        assert (found.positives, len(found.rows)) == (case["num_pos"], case["num_pos"] + case["num_neg"])
        rows: list[int] = found.rows.tolist()
        assert len({*rows}) == 32
        for row, label in zip(rows, found.labels, strict=True):
            assert label.tolist() == case["gt_labels"][1 if row == 1 else 0]
        return rows

    assert sample(1) == sample(1) != sample(2)


def test_negatives_fill_up_to_the_cap_and_nothing_is_drawn_where_nothing_is_left_out() -> None:
    truth, labels = _boxes([[0, 0, 1, 1]]), np.array([[1.0, 0]])
    proposals = _boxes([[0, 0, 1, 0.95]] + [[2, 2, 3, 3]] * 5)
    generator = _generator()
    found = assign_boxes(proposals, truth, labels, generator=generator)
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert generator.random() == _generator().random()
    capped = assign_boxes(proposals, truth, labels, generator=generator, cap=4)
    assert capped.rows[:2].tolist() == [0, 1]
    assert capped.positives == 2
    assert len({*capped.rows.tolist()}) == 4
    assert capped.labels.tolist() == [[1, 0], [1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("proposals", [[], [[0, 0, 1, 1]]])
def test_a_keyframe_without_ground_truth_has_no_positive(proposals: list) -> None:
    found = assign_boxes(_boxes(proposals), _boxes([]), np.zeros((0, 3)), generator=_generator())
    assert (found.positives, len(found.rows), found.labels.shape) == (0, len(proposals), (len(proposals), 3))


def test_ground_truth_trains_without_any_proposal() -> None:
    found = assign_boxes(_boxes([]), _boxes([[0, 0, 1, 1]]), np.array([[0.0, 1]]), generator=_generator())
    assert (found.positives, found.rows.tolist(), found.labels.tolist()) == (1, [0], [[0, 1]])

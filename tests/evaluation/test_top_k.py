"""Accuracies of clips, by our rules and by MMAction2's, whose results are recorded in a fixture."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.evaluation.top_k import Rule, accuracies, class_hits, confusion, label_ranks, predicted

TIE = np.zeros((1, 6))


def published(fixtures: Path) -> dict:
    """What MMAction2 computed."""
    found: dict = json.loads((fixtures / "parity/trn/pipeline.json").read_text())["metric"]
    return found


def found_by(scores: np.ndarray, labels: Sequence[int] | np.ndarray, rule: Rule = "published") -> dict[str, float]:
    """The accuracies under the fixture's names."""
    found = accuracies(scores, np.array(labels), rule)
    return {"top1": found.top1, "top5": found.top5, "mean1": found.mean_class}


def test_the_published_rule_is_equal_to_what_mmaction2_computes(fixtures: Path) -> None:
    expected = published(fixtures)
    random = np.random.RandomState(expected["random_state"])
    scores, labels = random.standard_normal((60, 12)), random.randint(0, 12, 60)
    assert found_by(scores, labels) == pytest.approx(expected["all_classes"], abs=1e-12)
    cut = np.where(labels > 8, 0, labels)
    assert found_by(scores, cut) == pytest.approx(expected["labels_above_8_set_to_0"], abs=1e-12)
    two = np.eye(6)[[5, 2]]
    assert found_by(two, [5, 3]) == pytest.approx(expected["two_samples_pred_5_and_2_truth_5_and_3"])
    ties = [found_by(TIE, [label]) for label in range(6)]
    assert ties == expected["ties_all_equal_scores_width6_label_each"]


def test_our_mean_is_over_the_classes_that_clips_have() -> None:
    two = np.eye(6)[[5, 2]]
    assert found_by(two, [5, 3], "ours")["mean1"] == 0.5
    assert found_by(two, [5, 3], "published")["mean1"] == pytest.approx(1 / 3)


def test_of_equal_scores_the_lower_id_is_first_in_every_number() -> None:
    assert [found_by(TIE, [label], "ours") for label in (0, 4, 5)] == [
        {"top1": 1.0, "top5": 1.0, "mean1": 1.0},
        {"top1": 0.0, "top5": 1.0, "mean1": 0.0},
        {"top1": 0.0, "top5": 0.0, "mean1": 0.0},
    ]
    assert label_ranks(TIE, np.array([2])).tolist() == [2]
    assert label_ranks(TIE, np.array([2]), higher_first=True).tolist() == [3]


def test_the_counts_of_classes_and_confusions_are_those_of_the_clips() -> None:
    scores = np.eye(3)[[0, 1, 1, 0]]
    labels = np.array([0, 0, 1, 1])
    counts = confusion(predicted(scores), labels, classes=3)
    assert counts.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    hits = class_hits(predicted(scores), labels, classes=3)
    assert (hits.clips.tolist(), hits.found.tolist(), hits.predicted.tolist()) == ([2, 2, 0], [1, 1, 0], [2, 2, 0])


def test_no_clip_has_no_accuracy() -> None:
    assert np.isnan(accuracies(np.zeros((0, 3)), np.zeros(0, np.int64)).top1)


def test_scores_that_are_no_numbers_and_unknown_labels_are_refused() -> None:
    scores = np.array([[0.0, 1.0], [np.nan, 0.0]])
    with pytest.raises(InputError, match="clip 1 has score nan for class 0, expected a finite number"):
        accuracies(scores, np.array([0, 1]))
    with pytest.raises(InputError, match="label 2 is not among the 2 classes, 0 to 1"):
        accuracies(np.zeros((1, 2)), np.array([2]))

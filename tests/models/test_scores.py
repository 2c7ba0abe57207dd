import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.scores import action_logits, action_scores
from pipeline.models.settings import LabelGroup, Labels, columns

SINGLE, BACKGROUND = Labels("single"), Labels("single", background=True)
PARITY = Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2"


@pytest.mark.parametrize(("kind", "expected"), [(Labels(), 3), (SINGLE, 3), (BACKGROUND, 4)])
def test_logits_have_a_column_per_class_and_one_for_the_background(kind: Labels, expected: int) -> None:
    assert columns(3, kind) == expected
    logits = torch.randn(2, expected)
    assert torch.equal(action_logits(logits, kind), logits[:, -3:])
    assert action_scores(logits, kind).shape == (2, 3)
    assert action_scores(logits[:0], kind).shape == (0, 3)


def test_scores_of_several_actions_are_sigmoids() -> None:
    logits = torch.tensor([[0.0, 100, -100]])
    assert action_scores(logits, Labels()).tolist() == [[0.5, 1.0, 0.0]]


def test_scores_of_one_action_sum_to_one_unless_the_background_takes_its_part() -> None:
    logits = torch.log(torch.tensor([[5.0, 3.0, 2.0]]))
    torch.testing.assert_close(action_scores(logits, SINGLE), torch.tensor([[0.5, 0.3, 0.2]]))
    torch.testing.assert_close(action_scores(logits, BACKGROUND), torch.tensor([[0.3, 0.2]]))


def test_a_background_of_several_sigmoids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^\.background is a column of the softmax, and \.kind is multi$"):
        Labels("multi", background=True)


@pytest.mark.parametrize("name", ["slowonly-r50-4x16-multisports-singlelabel", "slowonly-r50-4x16-ava21"])
def test_scores_are_upstreams(name: str) -> None:
    head = json.loads((PARITY / f"{name}.json").read_text())["hyper"]["bbox_head"]
    with np.load(PARITY / f"{name}.npz") as arrays:
        logits, expected = torch.from_numpy(arrays["cls_score"]), torch.from_numpy(arrays["prob"])
    if head["multilabel"]:  # upstream's multi-label models have a background column that ours have not
        logits, expected = logits[:, 1:], expected[:, 1:]
    kind = Labels() if head["multilabel"] else Labels("single", background=head["background_class"])
    torch.testing.assert_close(action_scores(logits, kind), expected, rtol=1e-6, atol=1e-7)


def test_scores_of_groups_are_each_groups_own() -> None:
    two, one = LabelGroup(classes=2, kind="softmax"), LabelGroup(classes=1, kind="sigmoid")
    kind = Labels("grouped", groups=(two, one, two))
    logits = torch.log(torch.tensor([[3.0, 1.0, 1.0, 1.0, 4.0]]))
    assert columns(5, kind) == 5
    torch.testing.assert_close(action_scores(logits, kind), torch.tensor([[0.75, 0.25, 0.5, 0.2, 0.8]]))
    assert action_scores(logits[:0], kind).shape == (0, 5)

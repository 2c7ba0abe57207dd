"""Losses, metrics and rates of AlphAction: those of the shipped fixture, and others that are computed here."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.interop.alphaction_losses import (
    accuracies,
    compare_losses,
    compare_pose_rule,
    compare_rates,
    drawn,
    multi_hot,
    near,
    near_values,
    published_labels,
    published_rate,
)

SHIPPED = REPOSITORY / "tests/fixtures/parity/aia_training/objects_and_targets.json"
WEIGHTS = {"loss_pose_action": 1.2, "loss_object_interaction": 49.0, "loss_person_interaction": 17.0}
# The block of losses in the fixture of operations.
LOSSES: dict[str, Any] = {
    "logits": "3*RandomState(3).standard_normal((6,80)) float32",
    "labels": "RandomState(4).random_sample((6,80))<0.06, then first 14 columns cleared and pose index set",
    "pose_index": [0, 3, 13, 11, 9, 5], "gamma": 2.0, "alpha": -1.0, "box_normaliser": 6.0,
    "components": {
        "loss_pose_action": 6.454899311065674, "loss_object_interaction": 1.1062976121902466,
        "loss_person_interaction": 1.12412691116333,
    },
    "weights": WEIGHTS, "total": 81.06462097167969, "split": [14, 49, 17],
}  # fmt: skip
RATES: dict[str, Any] = {
    "baseline_steps": {"0": 0.0001, "1999": 0.00039985, "49999": 0.0004, "50000": 4e-05, "70000": 4e-06},
    "ia_steps": {"1000": 0.00025, "69999": 0.0004, "70000": 4e-05, "90000": 4e-06},
    "half_cosine": {"2000": 0.0003989043790736547, "30000": 0.0002, "59999": 2.741556759389141e-13},
    "base_lr": 0.0004,
}


def rule() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(SHIPPED.read_text())["pose_rule"]
    return facts


def test_targets_losses_gradients_and_metrics_are_upstreams() -> None:
    found = compare_pose_rule(rule())
    assert [each.tensor.split("/")[1] for each in found] == [
        "pose_target", "losses", "total", "grad_norm_per_row", "grad_row0_first14", "metrics",
    ]  # fmt: skip
    assert all(each.within for each in found)
    assert max(each.share for each in found) < 0.2


@pytest.mark.parametrize("key", ["pose_target", "losses", "total", "grad_norm_per_row", "metrics"])
def test_another_number_is_too_far(key: str) -> None:
    facts = rule()
    value = facts[key]
    if isinstance(value, dict):
        name = "accuracy_object_interaction" if key == "metrics" else "loss_pose_action"
        value[name] *= 1.001
    else:
        facts[key] = [each + 1e-3 for each in value] if isinstance(value, list) else value * 1.001
    assert [each.tensor for each in compare_pose_rule(facts) if not each.within] == [f"pose_rule/{key}"]


def test_losses_of_drawn_labels_are_upstreams() -> None:
    assert [each.within for each in compare_losses(LOSSES)] == [True, True]
    changed = {**LOSSES, "pose_index": [1, 3, 13, 11, 9, 5]}
    assert [each.within for each in compare_losses(changed)] == [False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": [15, 48, 17]}, r"^losses are of split \[15, 48, 17\], gamma 2\.0 and alpha -1\.0$"),
        ({"labels": "some"}, r"^losses\.labels 'some' is not known here$"),
        (
            {"logits": "ones"},
            r"^numbers are drawn by 'ones', expected RandomState\(N\)\.standard_normal\(\(rows,columns\)\)$",
        ),
    ],
)
def test_losses_by_other_rules_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_losses({**LOSSES, **changes})


def test_rates_are_upstreams() -> None:
    found = compare_rates(RATES)
    assert [each.tensor for each in found] == ["lr/baseline_steps", "lr/ia_steps", "lr/half_cosine"]
    assert all(each.within for each in found)
    other = compare_rates({"base_lr": 4e-4, "ia_steps": {"69999": 4e-5}})
    assert not other[0].within
    with pytest.raises(InputError, match=r"^lr has the schedule poly, expected one of baseline_steps, ia_steps, half_"):
        compare_rates({"poly": {}})


def test_a_warmup_rises_by_the_same_amount_in_every_step() -> None:
    rates = [published_rate(step, 1.0, decay="step", epochs=110, milestones=[70, 90]) for step in (0, 1, 2, 1999, 2000)]
    np.testing.assert_allclose(np.diff(rates), [0.75 / 2000, 0.75 / 2000, 1997 * 0.75 / 2000, 0.75 / 2000], rtol=1e-9)


def test_an_accuracy_is_an_overlap_of_labels_except_of_poses() -> None:
    logits, labels = torch.full((2, 80), -5.0), multi_hot([[3, 20, 21], [7]])
    logits[0, [3, 20, 30]] = 5.0  # the pose, one of two actions with objects, and one that is not there
    logits[1, [2, 79]] = 5.0
    found = accuracies(logits, labels, published_labels(WEIGHTS))
    assert found == {
        "accuracy_pose_action": 0.5,
        "accuracy_object_interaction": pytest.approx((1 / 3 + 1) / 2),
        "accuracy_person_interaction": pytest.approx((1 + 0) / 2),
    }


def test_numbers_are_near_or_say_why_not() -> None:
    assert near("x", [1.0, 0.0], [1.001, 0.0], relative=1e-2).share == pytest.approx(0.0999, rel=1e-3)
    assert near("x", 1e-9, 0.0, relative=0, absolute=1e-8).within
    assert not near("x", 1e-9, 0.0, relative=1).within
    assert math.isnan(near("x", [math.nan], [1.0], relative=1).share)
    assert near("x", [], [], relative=0).within
    assert near("x", [1, 2], [1], relative=0).note == "shape (2,), expected (1,)"
    assert near_values("x", {"b": 1, "a": 2}, {"a": 2, "b": 1}, relative=0).within
    with pytest.raises(InputError, match=r"^x has a, expected b$"):
        near_values("x", {"b": 1}, {"a": 1}, relative=0)
    assert drawn("RandomState(1).standard_normal((2, 3))").shape == (2, 3)

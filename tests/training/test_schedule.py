import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.schedule import Schedule, learning_rate

CASES = json.loads((Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2" / "lr_schedules.json").read_text())[
    "cases"
]
PLAIN: dict[str, Any] = {
    "lr": 0.2, "epochs": 10, "warmup_epochs": 0, "warmup_factor": 0.1, "warmup_by": "epoch", "decay": "step",
    "milestones": [], "gamma": 0.1,
}  # fmt: skip


def rate(epoch: int, iteration: int, iterations_per_epoch: int, *, lr: float, **schedule: Any) -> float:
    return learning_rate(
        Schedule(**schedule), lr, epoch=epoch, iteration=iteration, iterations_per_epoch=iterations_per_epoch
    )


def _arguments(case: dict) -> dict[str, Any]:
    """Ours for a list of MMEngine schedulers."""
    arguments = {**PLAIN, "lr": case["base_lr"], "epochs": case["epochs"]}
    for each in case["schedulers"]:
        if each["type"] == "LinearLR":
            by = "iteration" if each.get("convert_to_iter_based") else "epoch"
            arguments |= {"warmup_epochs": each["end"], "warmup_factor": each["start_factor"], "warmup_by": by}
        elif each["type"] == "MultiStepLR":
            arguments |= {"decay": "step", "milestones": each["milestones"], "gamma": each["gamma"]}
        else:
            assert (each["type"], each["begin"]) == ("CosineAnnealingLR", arguments["warmup_epochs"])
            # Ours falls from the warm-up's end to 0 at the end of training.
            assert (each["begin"] + each["T_max"], each["end"], each["eta_min"]) == (case["epochs"], case["epochs"], 0)
            arguments |= {"decay": "cosine"}
    return arguments


def test_all_five_published_schedules_are_there() -> None:
    assert len(CASES) == 5
    kinds = [{each["type"] for each in case["schedulers"]} for case in CASES]
    assert {"LinearLR", "CosineAnnealingLR"} in kinds
    assert {"MultiStepLR"} in kinds


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_iteration_has_the_published_rate(case: dict) -> None:
    for epoch, expected in enumerate(case["lr_at_each_iteration"]):
        found = [
            rate(epoch, iteration, case["iterations_per_epoch"], **_arguments(case))
            for iteration in range(len(expected))
        ]
        assert found == pytest.approx(expected, rel=1e-9)


def test_a_warmup_of_one_step_ends() -> None:
    rates = [rate(epoch, 0, 3, **{**PLAIN, "warmup_epochs": 1}) for epoch in range(3)]
    assert rates == pytest.approx([0.02, 0.2, 0.2])


def test_no_warmup_begins_with_the_full_rate() -> None:
    assert rate(0, 0, 3, **PLAIN) == 0.2
    assert rate(0, 0, 3, **{**PLAIN, "decay": "cosine", "warmup_by": "iteration"}) == 0.2


def test_a_milestone_within_the_warmup_counts_at_once() -> None:
    arguments = {**PLAIN, "warmup_epochs": 5, "milestones": [2]}
    assert rate(2, 0, 3, **arguments) == pytest.approx(0.2 * 0.55 * 0.1)


def test_the_cosine_falls_to_almost_nothing_and_a_warmup_by_epochs_goes_before_it() -> None:
    arguments = {**PLAIN, "decay": "cosine", "warmup_epochs": 2}
    rates = [rate(step // 5, step % 5, 5, **arguments) for step in range(50)]
    assert rates[:10] == pytest.approx([0.02] * 5 + [0.2] * 5)
    assert rates[10] == pytest.approx(0.2)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1 * (1 + math.cos(math.pi * 39 / 40)))


def test_a_training_that_is_all_warmup_has_no_cosine() -> None:
    arguments = {**PLAIN, "decay": "cosine", "epochs": 2, "warmup_epochs": 2, "warmup_by": "iteration"}
    assert rate(1, 4, 5, **arguments) == pytest.approx(0.2)

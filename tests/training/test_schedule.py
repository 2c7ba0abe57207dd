import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.training.schedule import Schedule, learning_rate

CASES = json.loads((Path(__file__).parents[1] / "fixtures" / "parity" / "mmaction2" / "lr_schedules.json").read_text())[
    "cases"
]
PLAIN: dict[str, Any] = {
    "lr": 0.2, "epochs": 10, "epoch_steps": "pass", "warmup_epochs": 0, "warmup_factor": 0.1, "warmup_by": "epoch",
    "decay": "step", "milestones": [], "gamma": 0.1,
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


# What upstream's schedulers gave, by iteration; epochs of 10,000 steps.
ALPHACTION: dict[str, Any] = {
    **PLAIN, "lr": 4e-4, "epoch_steps": 10_000, "warmup_epochs": 0.2, "warmup_factor": 0.25,
    "warmup_by": "iteration_after",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"epochs": 9, "milestones": [5, 7]},
            {0: 1e-4, 1: 1.0015e-4, 1000: 2.5e-4, 1999: 3.9985e-4, 2000: 4e-4, 49999: 4e-4, 50000: 4e-5, 70000: 4e-6},
        ),
        ({"epochs": 11, "milestones": [7, 9]}, {69999: 4e-4, 70000: 4e-5, 89999: 4e-5, 90000: 4e-6, 109999: 4e-6}),
        (
            {"epochs": 6, "decay": "half_cosine"},
            {0: 1e-4, 1000: 2.5e-4, 2000: 0.0003989043790736547, 30000: 2e-4, 59999: 2.741556759389141e-13},
        ),
    ],
)
def test_rates_are_those_of_alphaction(changes: dict[str, Any], expected: dict[int, float]) -> None:
    arguments = {**ALPHACTION, **changes}
    found = {step: rate(step // 10_000, step % 10_000, 10_000, **arguments) for step in expected}
    assert found == pytest.approx(expected, rel=1e-9, abs=0)


def test_milestones_may_be_fractions_of_epochs() -> None:
    arguments = {**PLAIN, "milestones": [2.25, 3], "lr": 1.0}
    found = [rate(step // 10, step % 10, 10, **arguments) for step in (21, 22, 29, 30)]
    assert found == pytest.approx([1, 0.1, 0.1, 0.01])  # 22.5 steps are cut
    with pytest.raises(ValidationError):
        rate(0, 0, 10, **{**arguments, "milestones": [0.0]})


def test_a_record_has_the_steps_of_an_epoch_only_where_they_are_set() -> None:
    plain = Schedule(**{key: value for key, value in PLAIN.items() if key != "lr"})
    assert "epoch_steps" not in plain.model_dump()
    assert plain.model_copy(update={"epoch_steps": 5}).model_dump()["epoch_steps"] == 5
    assert repr(plain.warmup_epochs) == "0"

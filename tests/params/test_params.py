from typing import Any, get_args, get_type_hints

import pytest
import yaml
from pydantic import ValidationError

from pipeline.base.block import Block
from pipeline.base.code_version import REPOSITORY
from pipeline.base.errors import InputError
from pipeline.boxes.recall import THRESHOLD_KEYS
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.params import Params, box_thresholds, names_of, parse_params


def composed(**values: Any) -> dict[str, Any]:
    """params.yaml, with other values at some keys."""
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    for key, value in values.items():
        *blocks, name = key.split(".")
        block = found
        for each in blocks:
            block = block[each]
        block[name] = value
    return found


def declared(kind: type, prefix: str = "") -> set[str]:
    """Every `box_threshold` that the fields of a block name."""
    found, kinds = set(), get_type_hints(kind) if names_of(kind) else {}
    for name in names_of(kind):
        if name == "box_threshold":
            found.add(prefix + name)
        for each in (kinds[name], *get_args(kinds[name])):
            if isinstance(each, type):
                found |= declared(each, f"{prefix}{name}.")
    return found


def test_every_threshold_of_boxes_is_known() -> None:
    params = parse_params(composed(), "params.yaml")
    assert declared(Params) == {key for key, _ in box_thresholds(params)} == set(THRESHOLD_KEYS)


@pytest.mark.parametrize("key", THRESHOLD_KEYS)
def test_no_threshold_of_boxes_may_be_below_the_floor_of_their_import(key: str) -> None:
    with pytest.raises(InputError) as error:
        parse_params(composed(**{"boxes.min_score": 0.4, key: 0.3}), "params.yaml")
    assert str(error.value) == f"params.yaml: parameters: {key} 0.3 is below boxes.min_score 0.4"


@pytest.mark.parametrize("key", THRESHOLD_KEYS)
def test_what_reads_the_banks_rows_may_not_ask_for_more_than_it_holds(key: str) -> None:
    values = composed(**{"bank.box_threshold": 0.5, "head.window.score": 0.5, "boxes.min_score": 0.2, key: 0.3})
    reads_bank = key.startswith(("head_train.", "evaluation."))
    if not reads_bank:
        parse_params(values, "params.yaml")
        return
    with pytest.raises(InputError) as error:
        parse_params(values, "params.yaml")
    assert str(error.value) == f"params.yaml: parameters: {key} 0.3 is below bank.box_threshold 0.5"
    values["scope"]["name"] = "all"
    parse_params(values, "params.yaml")


def test_a_threshold_that_is_new_is_checked_too() -> None:
    class Added(Block):
        box_threshold: float

    class MoreEvaluation(EvaluationSettings):
        added: Added

    class MoreParams(Params):
        evaluation: MoreEvaluation

    values = composed(**{"evaluation.added": {"box_threshold": 0.001}})
    with pytest.raises(ValidationError, match=r"evaluation\.added\.box_threshold 0\.001 is below boxes\.min_score"):
        MoreParams.model_validate(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "head.memory=asynchronous is filled as the whole detector trains; scope=all does that"),
        (
            {"scope.name": "all", "bank.name": "external"},
            "head.memory=asynchronous reads no bank made elsewhere; head.memory=bank does",
        ),
        (
            {"head.window": None, "head.reads": "features"},
            "head.memory is asynchronous, and there is no head.window that reads it: head lfb_avg sees the person "
            "alone; one of lfb or aia has a window",
        ),
        (
            {"head.standardise": "train"},
            "head.standardise is train, and the rows of head.memory asynchronous change in training; expected none",
        ),
        ({"head.memory": "none"}, "head.memory: Input should be 'bank' or 'asynchronous' (found 'none')"),
        (
            {"head_train.memory.by": "rank"},
            "head_train.memory.by: Input should be 'loss', 'age' or 'none' (found 'rank')",
        ),
        ({"head_train.memory.half_life": 0}, "head_train.memory.half_life: Input should be greater than 0 (found 0)"),
    ],
)
def test_what_an_asynchronous_memory_does_not_fit(changes: dict[str, Any], message: str) -> None:
    usual = {"head.memory": "asynchronous", "head.standardise": "none"}
    with pytest.raises(InputError) as error:
        parse_params(composed(**{**usual, **changes}), "params.yaml")
    assert str(error.value).removeprefix("params.yaml: ").removeprefix("parameters: ") == message


def test_an_own_bank_stores_as_many_objects_as_a_head_reads() -> None:
    values = composed(**{"head.objects": {"per_keyframe": 6, "score": 0.0}})
    with pytest.raises(InputError) as error:
        parse_params(values, "params.yaml")
    assert str(error.value) == (
        "params.yaml: parameters: head.objects.per_keyframe 6 is above bank.objects 5, the objects of each second that "
        "the bank stores"
    )
    parse_params(composed(**{"head.objects": {"per_keyframe": 6, "score": 0.0}, "scope.name": "all"}), "params.yaml")

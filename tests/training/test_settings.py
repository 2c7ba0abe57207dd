"""What a training is told: what follows from it, and what is refused."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.tables.select_boxes import BoxRule
from pipeline.training.history import Metrics
from pipeline.training.settings import BaselineTraining, HeadTraining, Training, Watching
from tests.training.settings import VALUES, training_settings


def head_training(**changes: Any) -> HeadTraining:
    own = {"init": "baseline", "feature_dropout": 0.1, "kinetics": "none"}
    own |= {"memory": {"by": "loss", "half_life": 1.0}}
    shared = {key: value for key, value in VALUES.items() if key not in ("head", "freeze", "full_frame_box")}
    return HeadTraining.model_validate({**shared, **own, **changes})


def refused(**changes: Any) -> str:
    with pytest.raises(ValidationError) as error:
        training_settings(**changes)
    (first,) = error.value.errors()
    return str(first["msg"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"global_batch": 8, "bn_batch": 3}, ".global_batch 8 is no multiple of .bn_batch 3"),
        ({"optimiser": "adamw", "nesterov": True}, ".nesterov is sgd's, and .optimiser is adamw"),
        ({"interval": 0, "select": "best"}, ".checkpoint.select best needs a .validation.interval above 0"),
        ({"interval": 0, "patience": 2}, ".early_stop.patience 2 needs a .validation.interval above 0"),
        ({"videos": {"folds": 2, "use": [2]}}, ".use is [2], expected different folds from 0 to 1"),
        ({"videos": {"folds": 2, "use": [1, 1]}}, ".use is [1, 1], expected different folds from 0 to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(**changes) == f"Value error, {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "Input should be greater than 0"),
        ({"lr": math.inf}, "Input should be a finite number"),
        ({"dropout": 1.5}, "Input should be less than or equal to 1"),
        ({"optimiser": "adam"}, "Input should be 'sgd' or 'adamw'"),
        ({"learning_rate": 1.0}, "Extra inputs are not permitted"),
        ({"loss": {"alpha": 1.0, "gamma": 0.0, "beta": 1.0}}, "Extra inputs are not permitted"),
        ({"videos": {"folds": 1, "use": []}}, "List should have at least 1 item after validation, not 0"),
    ],
)
def test_values_out_of_bounds_and_unknown_keys_are_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(**changes) == message


def test_only_the_baseline_may_stay_untrained() -> None:
    assert training_settings(epochs=0, interval=0).is_over([])
    with pytest.raises(ValidationError) as error:
        head_training(schedule={**VALUES["schedule"], "epochs": 0})
    assert error.value.errors()[0]["msg"] == (
        "Value error, .schedule.epochs is 0; only the baseline may stay at its initial weights"
    )
    assert (BaselineTraining.block, HeadTraining.block) == ("baseline", "head_train")


def test_the_rate_grows_with_the_batch_only_where_that_is_asked_for() -> None:
    assert training_settings(lr=0.1, global_batch=32, base_batch=8).full_lr == 0.1
    scaled = training_settings(lr=0.1, global_batch=32, base_batch=8, auto_scale_lr=True)
    assert scaled.full_lr == pytest.approx(0.4)
    # After a warm-up of one epoch of ten steps the schedule stands at its full height.
    assert [scaled.rate(0, 0, 10), scaled.rate(0, 9, 10), scaled.rate(1, 0, 10)] == pytest.approx([0.04, 0.4, 0.4])
    assert 0 < scaled.rate(3, 9, 10) < 0.01


def test_the_last_epoch_is_validated_too_and_without_interval_none() -> None:
    def validated(interval: int) -> list[int]:
        settings = training_settings(epochs=5, interval=interval)
        return [epoch for epoch in range(1, 6) if settings.is_validated(epoch)]

    assert [validated(each) for each in (0, 1, 2, 5, 9)] == [[], [1, 2, 3, 4, 5], [2, 4, 5], [5], [5]]


def history(*maps: float | None) -> list[Metrics]:
    """A row per epoch; those without a mAP were not validated."""
    return [{"epoch": epoch, **({} if each is None else {"map": each})} for epoch, each in enumerate(maps, 1)]


def test_a_training_ends_with_its_epochs_or_where_its_map_has_not_risen_for_long() -> None:
    patient = training_settings(epochs=9, patience=2, min_delta=0.01)
    assert not patient.is_over(history(0.1, 0.2, 0.205))
    assert patient.is_over(history(0.1, 0.2, 0.205, 0.208)), "0.208 is no rise above 0.2 by more than 0.01"
    assert not patient.is_over(history(0.1, 0.2, None, None, 0.1)), "only validations count"
    assert not patient.is_over(history(0.1, 0.2, 0.1, 0.3))
    endless = training_settings(epochs=4)
    assert [endless.is_over(history(*[0.1] * count)) for count in (3, 4)] == [False, True]


def test_what_needs_a_validation_map_is_named() -> None:
    assert training_settings().goes_by_validation == ""
    assert training_settings(select="best").goes_by_validation == "checkpoint.select best"
    assert training_settings(select="best", patience=3).goes_by_validation == "early_stop.patience 3"


def test_which_boxes_are_trained_on_and_scored() -> None:
    baseline = training_settings(box_threshold=0.9, lower_threshold=True, full_frame_box=True)
    assert baseline.rule == BoxRule(0.9, lower=True, full_frame=True)
    assert head_training(box_threshold=0.9).rule == BoxRule(0.9)
    scored = {"interval": 1, "boxes": "detected", "box_threshold": 0.3}
    assert training_settings(validation=scored).validation.rule == BoxRule(0.3)


def test_a_record_has_no_word_of_sgd_nor_of_a_stop_that_is_off() -> None:
    """So that sidecars and keys of before there was the choice stay as they are."""

    def words(settings: Training) -> set[str]:
        chosen = {"optimiser", "early_stop", "bias_lr_factor", "interaction_lr_factor"} & settings.model_dump().keys()
        changes: dict[str, Any] = settings.model_dump()["augmentation"]
        return chosen | ({"max_boxes"} & changes.keys())

    assert words(training_settings()) == set()
    augmentation = {**VALUES["augmentation"], "max_boxes": 10}
    changes = {"bias_lr_factor": 2.0, "interaction_lr_factor": 10.0, "augmentation": augmentation}
    assert words(training_settings(optimiser="adamw", patience=1, **changes)) == {
        "optimiser", "early_stop", "bias_lr_factor", "interaction_lr_factor", "max_boxes",
    }  # fmt: skip


def test_colour_and_jitter_have_forms() -> None:
    plain = VALUES["augmentation"]
    published = {**plain, "colour": [20.0, 0.1, 0.1], "box_jitter": [0.2, 0.1, 0.1, 0.05]}
    read = training_settings(augmentation=published).augmentation
    assert (read.colour, read.box_jitter) == ((20.0, 0.1, 0.1), (0.2, 0.1, 0.1, 0.05))
    assert training_settings(augmentation=plain).augmentation.colour == 0.0
    assert training_settings(augmentation={**plain, "box_jitter": [0.1, 0]}).augmentation.box_jitter == (0.1, 0)
    for wrong in (
        {"colour": [200.0, 0.1, 0.1]},
        {"colour": [0.1, 0.1]},
        {"box_jitter": [0.2]},
        {"box_jitter": [2, 0]},
        {"max_boxes": 0},
    ):
        with pytest.raises(ValidationError):
            training_settings(augmentation={**plain, **wrong})


def test_a_gradient_without_a_limit_and_boxes_without_a_match_are_words() -> None:
    read = training_settings(clip_norm="none", match_iou="none")
    assert (read.clip_norm, read.match_iou) == ("none", "none")
    with pytest.raises(ValidationError):
        training_settings(clip_norm="off")


def test_where_a_training_is_watched() -> None:
    assert Watching.model_validate({"log": "tensorboard"}).log == "tensorboard"
    for values in ({"log": "wandb"}, {"log": "none", "port": 1}):
        with pytest.raises(ValidationError):
            Watching.model_validate(values)

"""The task of training a head on rows of the bank (scope head): no frame is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.bank.reader import Bank
from pipeline.base.hardware import Hardware
from pipeline.features.windows import WindowSource
from pipeline.models.heads.head import Head
from pipeline.models.settings import Labels, ObjectSettings
from pipeline.models.standardise import StandardisedHead
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, KeyframeRows, score_rows, scoring_rows
from pipeline.scoring.settings import score_settings
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.split_tables import Tables
from pipeline.training.batch import Batch, rows_of_batch
from pipeline.training.losses import make_loss
from pipeline.training.row_steps import head_loss, row_steps, steps_per_pass
from pipeline.training.settings import Training
from pipeline.training.steps import Task, epochs_of_passes
from pipeline.training.validation import validator


@dataclass(frozen=True)
class RowData:
    """The rows that train and score a head."""

    train: KeyframeRows
    "With labels; see `training_rows`."
    val: dict[str, KeyframeRows]
    "The rows that validation scores: `detected` and `ground_truth`."
    window: WindowSource | None
    "Only for a head that reads the bank."
    tables: Tables


def val_rows(
    bank: Bank, keyframes: Sequence[KeyframeBoxes], settings: Training, objects: ObjectSettings | None = None
) -> dict[str, KeyframeRows]:
    """Select the rows of the val bank that validation scores: `detected` and `ground_truth`; `objects` as `objects_at`.

    Raises:
        InputError: detected boxes are scored, and none reaches the score threshold.
    """
    validation = settings.validation
    is_scored = validation.interval and validation.boxes == "detected"
    key = f"{settings.block}.validation.box_threshold" if is_scored else ""
    return {
        kind: scoring_rows(bank, keyframes, row_set, rule=settings.validation.rule, key=key, objects=objects)
        for kind, row_set in SCORED_ROW_SETS.items()
    }


def row_task(
    head: Head | StandardisedHead, data: RowData, settings: Training, *, labels: Labels, hardware: Hardware
) -> Task[Batch]:
    """Build the task on which `fit` trains a head.

    Args:
        head: on the device of `hardware`.
        data: see `RowData`.
        settings: see `Training`.
        labels: how many actions a person can have.
        hardware: see `Hardware`.
    """
    windows = data.window.for_training(settings.seed) if data.window else None
    scored_windows = data.window.for_evaluation() if data.window else None
    scoring = score_settings(labels, hardware.device, settings.compute_dtype, scored_windows)
    steps_of, steps_per_epoch = epochs_of_passes(
        lambda stretch: row_steps(
            data.train, stretch, settings, window_of=windows(stretch.number) if windows else None
        ),
        per_pass=steps_per_pass(data.train, settings.global_batch),
        per_epoch=settings.schedule.epoch_steps,
    )
    return Task(
        "train head",
        steps_of=steps_of,
        steps_per_epoch=steps_per_epoch,
        loss_of=head_loss(head, make_loss(labels, alpha=settings.loss.alpha, gamma=settings.loss.gamma)),
        validate=validator(
            lambda: {kind: score_rows(head, each, scoring) for kind, each in data.val.items()},
            data.tables,
            headline=settings.validation.boxes,
            decode=labels.decode,
        ),
        count_of=rows_of_batch(labels),
    )

"""The task of training a detector on clips: the baseline, or in scope all a head with its backbone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from pipeline.base.hardware import Hardware
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.models.settings import Labels
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import score_settings
from pipeline.training.batch import Batch, rows_of_batch
from pipeline.training.clip_steps import Ahead, ClipData, clip_steps, detector_loss, size_numbers
from pipeline.training.losses import make_loss
from pipeline.training.norms import has_batch_norm
from pipeline.training.settings import Training
from pipeline.training.steps import Step, Stretch, Task, count_steps, epochs_of_passes
from pipeline.training.validation import validator
from pipeline.video.clips import normalises_itself


@dataclass(frozen=True)
class ClipWindows:
    """The windows that a head reads in training on clips and in its validation."""

    trained: Callable[[int], WindowOf]
    "Returns the windows of an epoch (from 0)."
    scored: WindowOf
    "The windows of validation."
    keep: Callable[[Batch, Tensor], None] | None = None
    "Gets what each batch has computed; see `detector_loss`."
    ahead: Ahead | None = None
    "Has the rows of the next steps' films fetched, where the windows come from another machine."


def steps_per_pass(data: ClipData, settings: Training) -> int:
    """Count the optimiser steps of a pass over the train keyframes."""
    return count_steps(
        len(data.train),
        global_batch=settings.global_batch,
        bn_batch=settings.bn_batch,
        sizes=size_numbers(data, settings),
    )


def clip_task(
    detector: Detector,
    data: ClipData,
    settings: Training,
    *,
    labels: Labels,
    hardware: Hardware,
    what: str,
    windows: ClipWindows | None = None,
) -> Task[Batch]:
    """Build the task on which `fit` trains a detector.

    Args:
        detector: on the device of `hardware`.
        data: see `ClipData`.
        settings: see `Training`.
        labels: how many actions a person can have.
        hardware: see `Hardware`.
        what: the training's name.
        windows: for a head that reads them.
    """
    unmatched = has_batch_norm(detector.head)
    scoring = score_settings(labels, hardware.device, settings.compute_dtype, windows.scored if windows else None)
    sizes, data = size_numbers(data, settings), replace(data, as_pixels=normalises_itself(hardware.device))

    def steps_of(stretch: Stretch) -> Iterator[Step[Batch]]:
        return clip_steps(
            data,
            stretch,
            settings,
            unmatched=unmatched,
            window_of=windows.trained(stretch.number) if windows else None,
            workers=hardware.workers,
            sizes=sizes,
            ahead=windows.ahead if windows else None,
        )

    steps_of_epoch, steps_per_epoch = epochs_of_passes(
        steps_of,
        per_pass=steps_per_pass(data, settings),
        per_epoch=settings.schedule.epoch_steps,
    )
    return Task(
        what,
        steps_of=steps_of_epoch,
        steps_per_epoch=steps_per_epoch,
        loss_of=detector_loss(
            detector,
            make_loss(labels, alpha=settings.loss.alpha, gamma=settings.loss.gamma),
            windows.keep if windows else None,
        ),
        validate=validator(
            lambda: score_films(detector, data.store, data.val, scoring, clip=data.clip, batch=hardware.batch),
            data.tables,
            headline=settings.validation.boxes,
            decode=labels.decode,
        ),
        count_of=rows_of_batch(labels),
    )

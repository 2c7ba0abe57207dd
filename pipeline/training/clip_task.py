"""The task of training a detector on clips: the baseline, or in scope all a head with its backbone."""

from collections.abc import Callable, Iterator

from pipeline.base.hardware import Hardware
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.models.settings import Labels
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import score_settings
from pipeline.training.batch import Batch, rows_of_batch
from pipeline.training.clip_steps import ClipData, clip_steps, detector_loss, size_numbers
from pipeline.training.losses import make_loss
from pipeline.training.norms import has_batch_norm
from pipeline.training.settings import Training
from pipeline.training.steps import Step, Stretch, Task, count_steps, epochs_of_passes
from pipeline.training.validation import validator


def clip_task(
    detector: Detector,
    data: ClipData,
    settings: Training,
    *,
    labels: Labels,
    hardware: Hardware,
    what: str,
    trained_windows: Callable[[int], WindowOf] | None = None,
    scored_windows: WindowOf | None = None,
) -> Task[Batch]:
    """Build the task on which `fit` trains a detector.

    Args:
        detector: on the device of `hardware`.
        data: see `ClipData`.
        settings: see `Training`.
        labels: how many actions a person can have.
        hardware: see `Hardware`.
        what: the training's name.
        trained_windows: returns the windows of an epoch, for a head that reads the bank.
        scored_windows: the windows of validation.
    """
    unmatched = has_batch_norm(detector.head)
    scoring = score_settings(labels, hardware.device, settings.compute_dtype, scored_windows)
    sizes = size_numbers(data, settings)

    def steps_of(stretch: Stretch) -> Iterator[Step[Batch]]:
        return clip_steps(
            data,
            stretch,
            settings,
            unmatched=unmatched,
            window_of=trained_windows(stretch.number) if trained_windows else None,
            workers=hardware.workers,
            sizes=sizes,
        )

    steps_of_epoch, steps_per_epoch = epochs_of_passes(
        steps_of,
        per_pass=count_steps(
            len(data.train), global_batch=settings.global_batch, bn_batch=settings.bn_batch, sizes=sizes
        ),
        per_epoch=settings.schedule.epoch_steps,
    )
    return Task(
        what,
        steps_of=steps_of_epoch,
        steps_per_epoch=steps_per_epoch,
        loss_of=detector_loss(detector, make_loss(labels, alpha=settings.loss.alpha, gamma=settings.loss.gamma)),
        validate=validator(
            lambda: score_films(detector, data.store, data.val, scoring, clip=data.clip, batch=hardware.batch),
            data.tables,
            headline=settings.validation.boxes,
            decode=labels.decode,
        ),
        count_of=rows_of_batch(labels),
    )

"""The task of training a recognizer: cross entropy on one view of each clip, validation by its centre crops."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.distributed import from_main
from pipeline.base.errors import InputError
from pipeline.base.hardware import Hardware
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.evaluation.top_k import accuracies
from pipeline.models.recognizer import Recognizer
from pipeline.recognition.clip_set import NO_LABEL, ClipSet
from pipeline.recognition.score_clips import score_clips
from pipeline.recognition.settings import RecognizerTraining
from pipeline.recognition.view_steps import ViewBatch, view_steps
from pipeline.training.history import Metrics
from pipeline.training.steps import Step, Stretch, Task, count_steps, epochs_of_passes


@dataclass(frozen=True)
class RecognitionSplits:
    """The clips that train a recognizer, and those that validate it."""

    train: ClipSet
    val: ClipSet

    def check(self, spec: RecognizerSpec, settings: RecognizerTraining) -> None:
        """Check that the labels are the recognizer's, and that a validation has some.

        Raises:
            InputError: another number of classes is listed; or val has no label, and is asked for one.
        """
        listed = len(self.train.classes.names)
        if listed != spec.classes:
            raise InputError(
                f"{listed} classes are listed in labels.json, and recognition.dataset.classes is {spec.classes}"
            )
        if settings.validation.interval and not len(labelled(self.val)):
            raise InputError(
                f"recognition.train.validation.interval is {settings.validation.interval}, and no clip of val has a "
                "label; expected 0, or a split val with labels"
            )


def labelled(clips: ClipSet) -> NDArray[np.int64]:
    """Return the numbers of the clips that have a label."""
    return np.flatnonzero(clips.labels != NO_LABEL)


def recognizer_task(
    recognizer: Recognizer,
    splits: RecognitionSplits,
    settings: RecognizerTraining,
    *,
    spec: RecognizerSpec,
    hardware: Hardware,
) -> Task[ViewBatch]:
    """Build the task on which `fit` trains a recognizer.

    Args:
        recognizer: on the device of `hardware`.
        splits: the clips.
        settings: see `RecognizerTraining`.
        spec: of the recognizer.
        hardware: see `Hardware`.
    """
    train = labelled(splits.train)

    def steps_of(stretch: Stretch) -> Iterator[Step[ViewBatch]]:
        return view_steps(splits.train, train, stretch, spec=spec, settings=settings, workers=hardware.workers)

    steps_of_epoch, steps_per_epoch = epochs_of_passes(
        steps_of,
        per_pass=count_steps(len(train), global_batch=settings.global_batch, bn_batch=settings.bn_batch),
        per_epoch=settings.schedule.epoch_steps,
    )
    return Task(
        "train recognizer",
        steps_of=steps_of_epoch,
        steps_per_epoch=steps_per_epoch,
        loss_of=lambda batch: clip_loss(recognizer, batch),
        validate=_validator(recognizer, splits.val, settings, spec, hardware),
        count_of=lambda batch: len(batch.labels),
        samples="clip with a label",
    )


def clip_loss(recognizer: Recognizer, batch: ViewBatch) -> Tensor:
    """Return the cross entropy of a batch, summed over its clips; the loop divides it by all clips of a step."""
    return F.cross_entropy(recognizer(batch.views).float(), batch.labels, reduction="sum")


def _validator(
    recognizer: Recognizer, clips: ClipSet, settings: RecognizerTraining, spec: RecognizerSpec, hardware: Hardware
) -> Callable[[], Metrics]:
    known = labelled(clips)

    def validate() -> Metrics:
        scores = score_clips(
            recognizer,
            clips,
            spec,
            views="efficient",
            device=hardware.device,
            compute_dtype=settings.compute_dtype,
            workers=hardware.workers,
        )

        def metrics() -> Metrics:
            found = accuracies(scores[known], clips.labels[known])
            return {"top1": found.top1, "top5": found.top5, "mean_class": found.mean_class}

        return from_main(metrics)

    return validate

"""The task of training a detector whose head reads what the detector itself has computed lately (docs/memory.md)."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from pipeline.checkpoint.specs import HeadSpec
from pipeline.features.open_rows import RowSource
from pipeline.features.split_parts import split_films
from pipeline.features.windows import WindowSource
from pipeline.models.detector import Detector
from pipeline.tables.keyframes import KeyframeSet
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import ClipData
from pipeline.training.clip_task import ClipWindows, clip_task, steps_per_pass
from pipeline.training.film_memory import film_memory
from pipeline.training.history import Metrics
from pipeline.training.memory import Memory
from pipeline.training.settings import HeadTraining, MemoryWeight, Training
from pipeline.training.steps import Task


def memory_task(
    detector: Detector, data: ClipData, settings: HeadTraining, *, spec: HeadSpec, rows: RowSource
) -> Task[Batch]:
    """Build the task on which `fit` trains a detector with an asynchronous memory.

    Training reads and writes the memory. Validation runs each film of val twice, with the weights of the moment: once
    for the rows of its windows, once to score its boxes.

    Args:
        detector: on the device of the hardware of `rows`.
        data: see `ClipData`; its training keyframes are a `KeyframeSet`.
        settings: see `HeadTraining`.
        spec: of the detector.
        rows: the source of annotations, boxes and frames, and the settings of the memory in testing.

    Raises:
        InputError: a table is absent or invalid.
    """
    window = spec.head.window
    assert window is not None  # the settings see to it
    assert isinstance(data.train, KeyframeSet)
    per_pass = steps_per_pass(data, settings)
    memory = empty_memory(
        data.train, settings, channels=detector.roi_channels, weight=settings.memory, steps_per_pass=per_pass
    )
    films = split_films("val", rows.sources, rows.settings) if settings.validation.interval else []
    scored = film_memory(
        detector, films, data.store, rows.settings, clip=data.clip, min_score=window.score, hardware=rows.hardware
    )

    def keep(batch: Batch, features: Tensor) -> None:
        assert batch.keyframes is not None
        memory.keep(batch.keyframes, batch.clip_index, features)

    task = clip_task(
        detector,
        data,
        settings,
        labels=spec.labels,
        hardware=rows.hardware,
        what="train detector",
        windows=ClipWindows(
            WindowSource(memory, window).for_training(settings.seed),
            WindowSource(scored, window).for_evaluation(),
            keep,
        ),
    )

    def validate() -> Metrics:
        scored.forget()
        return task.validate()

    return replace(task, validate=validate, extra=memory, after_step=memory.after_step)


def empty_memory(
    train: KeyframeSet, settings: Training, *, channels: int, weight: MemoryWeight, steps_per_pass: int
) -> Memory:
    """Make the memory of a training before its first step, with room for as many boxes as a keyframe can train on.

    Args:
        train: the keyframes to train on.
        settings: which boxes of a keyframe train, and how many at most.
        channels: see `Memory`.
        weight: see `Memory`.
        steps_per_pass: see `Memory`.
    """
    boxes = np.diff(train.ground_truth_offsets)
    if settings.match_iou != "none":
        boxes = boxes + np.diff(train.proposal_offsets)
    return Memory(
        train.video_ids,
        train.timestamp,
        np.minimum(boxes, settings.augmentation.max_boxes),
        channels=channels,
        weight=weight,
        steps_per_pass=steps_per_pass,
    )

"""From the typed parameters to the plain arguments of the pipeline; the training stages share it."""

from collections.abc import Mapping
from typing import Any

from pipeline import params as parameters
from pipeline.inference.clips import ClipSettings
from pipeline.training.clip_steps import Augmentation
from pipeline.training.loop import Optimisation


def clip_settings(clip: Mapping[str, Any]) -> ClipSettings:
    """What the backbone sees, as the parameters or a sidecar say."""
    return ClipSettings(**{**clip, "mean": tuple(clip["mean"]), "std": tuple(clip["std"])})


def augmentation(changes: parameters.Augmentation) -> Augmentation:
    """Random changes of a training clip."""
    return Augmentation(**{**changes.model_dump(), "crop": None if changes.crop == "none" else changes.crop})


def optimisation(training: parameters.Training) -> Optimisation:
    """SGD, its schedule, and which epoch is kept."""
    return Optimisation(
        **training.schedule.model_dump(),
        lr=training.lr,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay,
        clip_norm=training.clip_norm,
        validation_interval=training.validation.interval,
        select=training.checkpoint.select,
        compute_dtype=training.compute_dtype,
        seed=training.seed,
    )

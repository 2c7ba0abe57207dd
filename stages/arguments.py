"""From the typed parameters to the plain arguments of the pipeline; the training stages share it."""

from pipeline import params as parameters
from pipeline.training.clip_steps import Augmentation
from pipeline.training.loop import Optimisation
from pipeline.training.schedule import scaled_lr


def augmentation(changes: parameters.Augmentation) -> Augmentation:
    """Random changes of a training clip."""
    return Augmentation(**{**changes.model_dump(), "crop": None if changes.crop == "none" else changes.crop})


def optimisation(training: parameters.Training) -> Optimisation:
    """SGD, its schedule, and which epoch is kept; prints a learning rate that is scaled."""
    lr, batch = training.lr, training.global_batch
    return Optimisation(
        **training.schedule.model_dump(),
        lr=scaled_lr(lr, global_batch=batch, base_batch=training.base_batch) if training.auto_scale_lr else lr,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay,
        decayed=training.decay,
        norm=training.norm,
        clip_norm=training.clip_norm,
        validation_interval=training.validation.interval,
        select=training.checkpoint.select,
        patience=training.early_stop.patience,
        min_delta=training.early_stop.min_delta,
        compute_dtype=training.compute_dtype,
        memory_format=training.memory_format,
        compile=training.compile,
        seed=training.seed,
        global_batch=batch,
        bn_batch=training.bn_batch,
        block="baseline" if isinstance(training, parameters.Baseline) else "head_train",
    )

"""From the typed parameters to the plain arguments of the pipeline; the stages share it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import params as parameters
from pipeline.inference.banks import BankSettings, Sources
from pipeline.inference.clips import ClipSettings
from pipeline.inference.open_rows import RowSource
from pipeline.training.clip_steps import Augmentation
from pipeline.training.loop import Optimisation

BASELINE = Path("models/baseline.safetensors")
HEAD = Path("models/head.safetensors")


def clip_settings(clip: Mapping[str, Any]) -> ClipSettings:
    """What the backbone sees, as the parameters or a sidecar say."""
    return ClipSettings(**{**clip, "mean": tuple(clip["mean"]), "std": tuple(clip["std"])})


def bank_settings(bank: parameters.Bank) -> BankSettings:
    """What a bank's bytes depend on."""
    return BankSettings(
        box_threshold=bank.box_threshold,
        seconds=bank.seconds,
        dtype=bank.dtype,
        codec=bank.codec,
        compute_dtype=bank.compute_dtype,
        lower_threshold=bank.lower_threshold,
        full_frame_box=bank.full_frame_box,
    )


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


def row_source(params: parameters.Params, *, reads_bank: bool, workers: int, device: str, batch: int) -> RowSource:
    """Where the rows of a head come from."""
    data = Path("data", params.dataset.name)
    return RowSource(
        sources=Sources(Path(params.scope.frames), data / "annotations", Path(params.scope.boxes), BASELINE),
        settings=bank_settings(params.bank),
        reads_bank=reads_bank,
        producer=params.bank.producer,
        allow_mixed=params.bank.allow_mixed,
        workers=workers,
        device=device,
        batch=batch,
    )

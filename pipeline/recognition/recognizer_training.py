"""Train a recognizer: from frames and labels to its checkpoint."""

from pathlib import Path

import torch

from pipeline.base.code_version import code_version
from pipeline.base.distributed import from_main
from pipeline.base.files import digest_tree, remove_folder
from pipeline.base.hardware import Hardware
from pipeline.base.numerics import set_numerics
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run, saved_epoch
from pipeline.base.work import item_folder, item_key
from pipeline.checkpoint.build_recognizer import build_recognizer
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.sidecars import Checkpoint, Record
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.checkpoint.weights import RECOGNIZER, save_checkpoint
from pipeline.models.recognizer import Recognizer
from pipeline.recognition.clip_set import read_clips
from pipeline.recognition.recognizer_task import RecognitionSplits, labelled, recognizer_task
from pipeline.recognition.settings import RecognizerTraining
from pipeline.training.logs import Kind, LogSettings, check_log
from pipeline.training.loop import Fitted, fit
from pipeline.training.optimiser import parameter_groups
from pipeline.training.outs import write_training

STAGE = "train_recognizer"


def train_recognizer(
    data: Path, spec: RecognizerSpec, settings: RecognizerTraining, *, log: Kind, hardware: Hardware
) -> None:
    """Train a recognizer, and write models/recognizer.* and results/recognizer.

    Args:
        data: the data set's folder, with the outs `frames` and `labels`.
        spec: the recognizer to train.
        settings: see `RecognizerTraining`.
        log: see `LogSettings`.
        hardware: see `Hardware`.

    Raises:
        InputError: an out is absent or does not fit the settings; or as `fit`.
    """
    check_log(log)
    sources = from_main(lambda: {name: digest_tree(data / name) for name in ("frames", "labels")})
    set_numerics(compute_dtype=settings.compute_dtype, deterministic=settings.deterministic, threads=settings.threads)
    train, val = (read_clips(data / "labels", data / "frames", split) for split in ("train", "val"))
    splits = RecognitionSplits(train, val)
    splits.check(spec, settings)
    torch.manual_seed(seed_of(settings.seed, "initial weights"))
    recognizer = build_recognizer(spec)
    initial = load_backbone(recognizer.backbone, settings.init)
    recognizer.to(hardware.device)
    key = item_key(
        description=Checkpoint(spec=spec).to_json(),
        parameters=settings.model_dump(),
        sources=sources,
        initial=initial,
        code=code_version(f"stages.{STAGE}"),
    )
    state = item_folder(STAGE, key)
    groups = parameter_groups(
        recognizer,
        weight_decay=settings.weight_decay,
        decayed=settings.decay,
        bias_lr_factor=settings.bias_lr_factor,
    )
    task = recognizer_task(recognizer, splits, settings, spec=spec, hardware=hardware)
    epochs = {"epochs": settings.schedule.epochs, "saved_epochs": saved_epoch(state), "state": key}
    with recorded_run(STAGE, spec.head.name, dataset=data.name, **epochs):
        fitted = fit(
            recognizer,
            task,
            settings,
            groups=groups,
            device=hardware.device,
            state_folder=state,
            log=LogSettings(log, STAGE, spec.head.name, key, settings.model_dump()),
        )
    if is_main():
        _write(recognizer, fitted, splits, spec, settings, {"initial_weights": initial, "trained_on": sources})
        remove_folder(state)


def _write(
    recognizer: Recognizer,
    fitted: Fitted,
    splits: RecognitionSplits,
    spec: RecognizerSpec,
    settings: RecognizerTraining,
    made_from: Record,
) -> None:
    record: Record = {
        **made_from,
        "parameters": settings.model_dump(),
        "selected_epoch": fitted.selected_epoch,
        "history": fitted.history,
    }
    save_checkpoint(RECOGNIZER, recognizer.state_dict(), Checkpoint(spec=spec, record=record))
    counts = {"clips": len(labelled(splits.train))}
    select = settings.checkpoint.select
    write_training(Path("results/recognizer"), fitted, select=select, more=counts, headline=settings.headline)
    print(f"{RECOGNIZER}: {fitted}, {counts['clips']} clips")

"""Train the baseline: from frames, annotations and boxes to its checkpoint."""

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
from pipeline.checkpoint.build_baseline import build_baseline
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.sidecars import Checkpoint, Record
from pipeline.checkpoint.specs import DetectorSpec
from pipeline.checkpoint.weights import BASELINE, save_checkpoint
from pipeline.models.detector import Detector
from pipeline.scoring.score_films import films_of_store
from pipeline.training.clip_steps import ClipData
from pipeline.training.clip_task import clip_task
from pipeline.training.layered import prepare_layers
from pipeline.training.logs import Kind, LogSettings, check_log
from pipeline.training.loop import Fitted, fit
from pipeline.training.optimiser import groups_of
from pipeline.training.outs import write_training
from pipeline.training.settings import BaselineTraining
from pipeline.training.splits import Splits, SplitSources, read_splits
from pipeline.video.store import FrameStore

STAGE = "train_baseline"


def train_baseline(
    data: Path, spec: DetectorSpec, settings: BaselineTraining, *, log: Kind, hardware: Hardware
) -> None:
    """Train a detector, and write models/baseline.* and results/baseline.

    Args:
        data: the data set's folder, with the outs `frames`, `annotations` and `boxes`.
        spec: the detector to train.
        settings: see `BaselineTraining`.
        log: see `LogSettings`.
        hardware: see `Hardware`.

    Raises:
        InputError: an out is absent or does not fit the settings; or as `fit`.
    """
    check_log(log)
    sources = from_main(lambda: {name: digest_tree(data / name) for name in ("frames", "annotations", "boxes")})
    set_numerics(compute_dtype=settings.compute_dtype, deterministic=settings.deterministic, threads=settings.threads)
    store = FrameStore(data / "frames")
    splits = read_splits(
        SplitSources(data / "annotations", data / "boxes", films_of_store(store), store),
        settings,
        classes=spec.classes,
        labels=spec.labels,
    )
    torch.manual_seed(seed_of(settings.seed, "initial weights"))
    detector = build_baseline(spec)
    initial = load_backbone(detector.backbone, settings.init)
    detector.backbone.requires_grad_(settings.freeze == "none")
    prepare_layers(detector, settings, hardware)
    detector.to(hardware.device)
    key = item_key(
        description=Checkpoint(spec=spec).to_json(),
        parameters=settings.model_dump(),
        sources=sources,
        initial=initial,
        code=code_version(f"stages.{STAGE}"),
    )
    state = item_folder(STAGE, key)
    clips = ClipData(store, spec.input, splits.train, splits.val, splits.tables)
    task = clip_task(detector, clips, settings, labels=spec.labels, hardware=hardware, what="train baseline")
    epochs = {"epochs": settings.schedule.epochs, "saved_epochs": saved_epoch(state), "state": key}
    with recorded_run(STAGE, spec.backbone, dataset=data.name, **epochs):
        fitted = fit(
            detector,
            task,
            settings,
            groups=groups_of(detector, settings),
            device=hardware.device,
            state_folder=state,
            log=LogSettings(log, STAGE, spec.backbone, key, settings.model_dump()),
        )
    if is_main():
        _write(detector, fitted, splits, spec, settings, {"initial_weights": initial, "trained_on": sources})
        remove_folder(state)


def _write(
    detector: Detector,
    fitted: Fitted,
    splits: Splits,
    spec: DetectorSpec,
    settings: BaselineTraining,
    made_from: Record,
) -> None:
    record: Record = {
        **made_from,
        "channels": detector.roi_channels,
        "parameters": settings.model_dump(),
        "selected_epoch": fitted.selected_epoch,
        "history": fitted.history,
    }
    save_checkpoint(BASELINE, detector.state_dict(), Checkpoint(spec=spec, record=record))
    counts = {"keyframes": len(splits.train), "films": splits.train_films}
    write_training(Path("results/baseline"), fitted, select=settings.checkpoint.select, more=counts)
    print(f"{BASELINE}: {fitted}, {counts['keyframes']} keyframes of {counts['films']} films")

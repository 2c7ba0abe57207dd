"""Train a long-term head: from banks or frames to its checkpoint."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.bank.reader import Bank
from pipeline.base.code_version import code_version
from pipeline.base.distributed import from_main
from pipeline.base.files import digest_file, digest_tree, remove_folder
from pipeline.base.numerics import set_numerics
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run, saved_epoch
from pipeline.base.work import item_folder, item_key
from pipeline.checkpoint.build_baseline import load_features
from pipeline.checkpoint.build_scope import build_scope_detector, build_scope_head
from pipeline.checkpoint.load_backbone import load_backbone
from pipeline.checkpoint.sidecars import Checkpoint, Record
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import HEAD, load_checkpoint, save_checkpoint
from pipeline.features.open_rows import RowSource, open_pair
from pipeline.features.windows import WindowOptions, WindowSource, window_source
from pipeline.models.detector import Detector
from pipeline.models.heads.head import Head
from pipeline.models.standardise import StandardisedHead
from pipeline.scoring.filled_windows import Filled, check_windows
from pipeline.scoring.keyframe_objects import say_without_objects
from pipeline.scoring.score_films import films_of_store
from pipeline.scoring.settings import object_rule
from pipeline.tables.split_tables import KnownFilms
from pipeline.training.batch import Batch
from pipeline.training.clip_steps import ClipData
from pipeline.training.clip_task import ClipWindows, clip_task
from pipeline.training.layered import prepare_layers
from pipeline.training.logs import Kind, LogSettings, check_log
from pipeline.training.loop import Fitted, fit
from pipeline.training.memory_task import memory_task
from pipeline.training.optimiser import groups_of
from pipeline.training.outs import write_training
from pipeline.training.row_steps import training_rows
from pipeline.training.row_task import RowData, row_task, val_rows
from pipeline.training.settings import HeadTraining
from pipeline.training.splits import Splits, SplitSources, read_splits
from pipeline.training.statistics import fit_statistics
from pipeline.training.steps import Task
from pipeline.video.store import FrameStore

STAGE = "train_head"
Model = Head | StandardisedHead | Detector


@dataclass(frozen=True)
class Start:
    """The weights that the backbone starts from in scope all, and the producer of the features in scope head."""

    file: str
    "File of weights; with none the backbone is drawn at random."
    is_baseline: bool
    "True: the file holds a whole detector, and only its backbone is taken. False: it holds a backbone alone."
    producer: str | None
    "sha256 of the weights that make the features."


@dataclass(frozen=True)
class _Inputs:
    """Everything that is read before the training starts."""

    spec: HeadSpec
    banks: tuple[Bank, ...]
    "The banks of train and val; empty for a detector that reads no bank."
    mixed: dict[str, list[str | None]]
    window: WindowSource | None
    store: FrameStore | None
    "Only in scope all."
    splits: Splits
    filled: Filled
    annotations: str
    "Digest of the annotations."


def train_head(
    spec: HeadSpec, settings: HeadTraining, rows: RowSource, *, start: Start, options: WindowOptions, log: Kind
) -> None:
    """Train a head, and write models/head.* and results/head.

    Args:
        spec: the head to train; its numbers of channels are replaced by those of the banks, if it reads any.
        settings: see `HeadTraining`.
        rows: the source of banks, frames, annotations and boxes.
        start: see `Start`.
        options: where the rows of windows are held.
        log: see `LogSettings`.

    Raises:
        InputError: a source is absent or does not fit the settings; or as `fit`.
    """
    check_log(log)
    with torch.device("meta"):  # refuses a bad spec before features are computed
        build_scope_head(spec)
    inputs = _read(spec, settings, rows, options)
    spec, record = inputs.spec, _record(inputs, start)
    key = item_key(
        description=Checkpoint(spec=spec, record=record).to_json(),
        weights=digest_file(Path(start.file)) if inputs.store and start.file != "none" else None,
        parameters=settings.model_dump(),
        frames=digest_file(inputs.store.folder / "manifest.json") if inputs.store else None,
        boxes=digest_file(rows.sources.boxes / "boxes.parquet") if inputs.store else None,
        code=code_version(f"stages.{STAGE}"),
    )
    state, name = item_folder(STAGE, key), f"{spec.head.name}_{spec.scope}"
    epochs = {"epochs": settings.schedule.epochs, "saved_epochs": saved_epoch(state), "state": key}
    torch.manual_seed(seed_of(settings.seed, "initial weights"))
    with recorded_run(STAGE, name, dataset=rows.dataset, **epochs):
        model: Model = build_scope_detector(spec) if inputs.store else build_scope_head(spec)
        if isinstance(model, Detector):
            record["initial_weights"] = _load_start(model, start)
        prepare_layers(model, settings, rows.hardware)
        task = _task(model, inputs, settings, rows)
        fitted = fit(
            model,
            task,
            settings,
            groups=groups_of(model, settings),
            device=rows.hardware.device,
            state_folder=state,
            log=LogSettings(log, STAGE, name, key, settings.model_dump()),
        )
    if is_main():
        _write(model, fitted, inputs, settings, record)
        remove_folder(state)


def _read(spec: HeadSpec, settings: HeadTraining, rows: RowSource, options: WindowOptions) -> _Inputs:
    banks: tuple[Bank, ...] = ()
    mixed: dict[str, list[str | None]] = {}
    reads_window = spec.head.window is not None and not spec.head.is_asynchronous
    if spec.scope == "head" or reads_window:
        banks, mixed = open_pair(rows.for_head(spec.head))
    set_numerics(compute_dtype=settings.compute_dtype, deterministic=settings.deterministic, threads=settings.threads)
    window, sources = None, rows.sources
    if spec.head.window is not None and reads_window:
        window = window_source(banks, spec.head.window, device=rows.hardware.device, options=options)
        spec = replace(spec, bank_channels=banks[0].channels)
    if spec.scope == "head":
        spec, store = replace(spec, roi_channels=banks[0].channels), None
        films = KnownFilms({*banks[0].videos, *banks[1].videos}, "the bank")
        of_splits = SplitSources(sources.annotations, None, films)
    else:
        store = FrameStore(sources.frames)
        films = films_of_store(store)
        of_splits = SplitSources(sources.annotations, sources.boxes, films, store, object_rule(spec.head))
    splits = read_splits(of_splits, settings, classes=spec.classes, labels=spec.labels)
    filled = check_windows(window, {"train": splits.train, "val": splits.val})
    digest = from_main(lambda: digest_tree(sources.annotations))
    return _Inputs(spec, banks, mixed, window, store, splits, filled, digest)


def _record(inputs: _Inputs, start: Start) -> Record:
    return {
        "producer": inputs.banks[0].provenance.get("checkpoint_sha256") if inputs.banks else None,
        "baseline": start.producer,
        "banks": {bank.split: bank.digest for bank in inputs.banks},
        "mixed_banks": inputs.mixed,
        "annotations": inputs.annotations,
    }


def _load_start(detector: Detector, start: Start) -> dict[str, str] | None:
    """Load the weights that a detector's features start from; return their file and sha256, for the record."""
    if not start.is_baseline:
        return load_backbone(detector.backbone, start.file)
    tensors, checkpoint = load_checkpoint(Path(start.file))
    load_features(detector, tensors, start.file)
    return {"file": Path(start.file).name, "sha256": checkpoint.sha256}


def _task(model: Model, inputs: _Inputs, settings: HeadTraining, rows: RowSource) -> Task[Batch]:
    """Build the model's task; fit its statistics, if it standardises, and move it to the device."""
    spec, splits, window, hardware = inputs.spec, inputs.splits, inputs.window, rows.hardware
    films = set(splits.train.video_ids)
    score = spec.head.window.score if spec.head.window else 0.0
    train = inputs.banks[0] if window else None
    if isinstance(model, Detector):
        assert inputs.store is not None
        fit_statistics(model.head, rows=None, bank=train, score=score, films=films)
        model.to(hardware.device)
        boxes = {"train": splits.train.objects_xyxy, "val": splits.val.objects_xyxy}
        found = {name: ~np.isnan(each[..., 0]) for name, each in boxes.items() if each is not None}
        say_without_objects(spec.head.name, found)
        flips = settings.augmentation.flip_objects
        data = ClipData(inputs.store, spec.clip, splits.train, splits.val, splits.tables, flips)
        if spec.head.is_asynchronous:
            return memory_task(model, data, settings, spec=spec, rows=rows)
        return clip_task(
            model,
            data,
            settings,
            labels=spec.labels,
            hardware=hardware,
            what="train detector",
            windows=ClipWindows(window.for_training(settings.seed), window.for_evaluation()) if window else None,
        )
    objects = spec.head.objects
    labelled = training_rows(
        inputs.banks[0], splits.train, rule=settings.rule, match_iou=settings.match_iou, objects=objects
    )
    fit_statistics(model, rows=labelled.features.chunks(), bank=train, score=score, films=films)
    model.to(hardware.device)
    scored = val_rows(inputs.banks[1], splits.val, settings, objects)
    of_splits = {"train": labelled.objects, "val": scored["ground_truth"].objects}
    say_without_objects(spec.head.name, {name: each.row >= 0 for name, each in of_splits.items() if each is not None})
    return row_task(
        model, RowData(labelled, scored, window, splits.tables), settings, labels=spec.labels, hardware=hardware
    )


def _write(model: Model, fitted: Fitted, inputs: _Inputs, settings: HeadTraining, record: Record) -> None:
    spec, splits = inputs.spec, inputs.splits
    record = {**record, "parameters": settings.model_dump(), "selected_epoch": fitted.selected_epoch}
    save_checkpoint(HEAD, model.state_dict(), Checkpoint(spec=spec, record=record))
    counts = {"keyframes": len(splits.train), "films": splits.train_films}
    more = {"head": spec.head.name, "scope": spec.scope, "mixed_banks": inputs.mixed, "windows": inputs.filled}
    write_training(Path("results/head"), fitted, select=settings.checkpoint.select, more={**more, **counts})
    print(f"{HEAD}: {spec.head.name}, {fitted}, {counts['keyframes']} keyframes of {counts['films']} films")

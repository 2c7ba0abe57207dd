"""Train a head: on the rows of the bank (scope head), or with the whole detector (scope all).

    python -m stages.train_head
    dvc exp run -S head=lfb_nl

Scope head reads annotations, banks and the baseline's sidecar, and no frame; `linear` reads no bank and takes its
features from .work, computing what is not there; `baseline` trains nothing and hands the baseline on. Writes
models/head.safetensors, its sidecar models/head.json, results/head/metrics.json and results/head/epochs.tsv. A killed
run goes on after its last epoch.
"""

from pathlib import Path
from typing import Any

import torch

from pipeline.bank.reader import check_pair
from pipeline.base.code import code_version
from pipeline.base.command import (
    BatchOption,
    DeviceOption,
    ProcessesOption,
    WindowCacheOption,
    WindowsOption,
    WorkersOption,
    new_app,
    run,
    worker_count,
)
from pipeline.base.distributed import across_ranks, from_main
from pipeline.base.files import digest_file, digest_tree, remove_folder
from pipeline.base.numerics import pick_device, set_numerics
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run, saved_epoch
from pipeline.base.work import item_folder, item_key
from pipeline.checkpoint.described_detector import load_backbone
from pipeline.checkpoint.described_head import build_scope_detector, build_scope_head
from pipeline.checkpoint.weights import BASELINE, HEAD, load_checkpoint, load_into, save_checkpoint
from pipeline.features.open_rows import foreign_producer, open_rows
from pipeline.models.detector import Detector
from pipeline.models.scores import columns
from pipeline.params import Params, load_params
from pipeline.scoring.filled_windows import check_windows
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.folds import keyframes_in_folds
from pipeline.tables.keyframes import check_single_label
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import read_tables, split_keyframes
from pipeline.training.clip_steps import check_clip_sizes
from pipeline.training.logs import LogSettings, check_log
from pipeline.training.loop import Fitted
from pipeline.training.outs import write_training
from pipeline.training.train_scope import HeadData, HeadTraining, train_on_rows, train_with_detector
from pipeline.training.validation import check_val_labels
from pipeline.video.store import FrameStore
from stages.arguments import augmentation, clip_settings, label_kind, optimisation
from stages.bank_arguments import feature_source, row_source
from stages.window_arguments import window_source

app = new_app()


@app.command()
@across_ranks
def train_head(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
    windows: WindowsOption = "resident",
    window_cache: WindowCacheOption = 1024,
) -> None:
    """Train a long-term head, or `linear`, the control; its statistics are kept in the checkpoint."""
    params = load_params()
    if params.head.is_baseline:
        with recorded_run("train_head", f"{params.head.name}_{params.scope.name}", dataset=params.dataset.name):
            _hand_on_baseline(params)
        return
    check_log(params.training.log)
    training, spec, scope, classes = params.head_train, params.head, params.scope.name, params.dataset.classes
    labels = label_kind(params.labels.model_dump())
    annotations = Path("data", params.dataset.name, "annotations")
    place = pick_device(device)
    count = worker_count(workers)
    baseline = feature_source(params)
    description: dict[str, Any] = {
        "kind": "head" if scope == "head" else "detector",
        "scope": scope,
        "head": spec.model_dump(),
        **{name: baseline[name] for name in ("backbone", "width", "input", "roi")},
        "labels": params.labels.model_dump(),
        "columns": columns(classes, labels),
        "roi_channels": baseline["channels"],
        "bank_channels": baseline["channels"] if spec.window else 0,
        "classes": classes,
        "dropout": training.dropout,
        "feature_dropout": training.feature_dropout,
        "threads": training.threads,
    }
    with torch.device("meta"):  # what does not fit is refused before features are computed
        build_scope_head(description)
    source = row_source(params, reads_bank=spec.window is not None, workers=count, device=device, batch=batch)
    banks, mixed = [], {}
    if scope == "head" or spec.window is not None:
        banks = [
            open_rows(split, Path(path), source)
            for split, path in (("train", params.bank.train), ("val", params.bank.val))
        ]
        mixed = check_pair(*banks, allow_mixed=params.bank.allow_mixed)
        mixed |= foreign_producer(banks[0], source) | foreign_producer(banks[1], source)
    set_numerics(compute_dtype=training.compute_dtype, deterministic=training.deterministic, threads=training.threads)
    window = None
    if spec.window is not None:
        window = window_source(banks, spec.window.model_dump(), device=place, mode=windows, cache_mb=window_cache)
    store = FrameStore(Path(params.scope.frames)) if scope == "all" else None
    tables = read_tables(annotations, Path(params.scope.boxes) if scope == "all" else None)
    films = set(banks[0].videos) | set(banks[1].videos) if store is None else store.video_ids
    duration_seconds = None if store is None else store.duration_seconds  # a bank has no rows beyond the end of a film
    rule = BoxRule(training.box_threshold, training.lower_threshold)
    keyframes = split_keyframes(
        tables,
        "train",
        classes=classes,
        rule=rule,
        films=films,
        films_of="the bank" if store is None else "the frame store",
        duration_seconds=duration_seconds,
    )
    keyframes = keyframes_in_folds(keyframes, **training.videos.model_dump(), what="head_train.videos")
    if store is not None:
        check_clip_sizes(
            store, keyframes.video_ids, augmentation(training.augmentation), bn_batch=training.bn_batch,
            block="head_train.augmentation",
        )  # fmt: skip
    if labels.kind == "single":
        check_single_label(keyframes, several=params.labels.several)
    validation = training.validation
    validation_rule = BoxRule(validation.box_threshold)
    val_keyframes = split_keyframes(
        tables,
        "val",
        classes=classes,
        rule=validation_rule,
        with_empty=True,
        films=films,
        films_of="the bank" if store is None else "the frame store",
        duration_seconds=duration_seconds,
    )
    if setting := training.goes_by_map:
        check_val_labels(tables, f"head_train.{setting}")
    filled = check_windows(window, {"train": keyframes, "val": val_keyframes})
    if tables.boxes is not None and validation.interval and validation.boxes == "detected":
        check_threshold(
            params.scope.boxes, tables.boxes, videos_of(tables.keyframes, "val"), split="val",
            rule=validation_rule, key="head_train.validation.box_threshold",
        )  # fmt: skip
    description |= {
        "producer": banks[0].provenance.get("checkpoint_sha256") if banks else None,
        "baseline": baseline["sha256"],
        "banks": {bank.split: bank.digest for bank in banks},
        "mixed_banks": mixed,
        "annotations": from_main(lambda: digest_tree(annotations)),
    }
    if scope == "head":
        description["roi_channels"] = banks[0].channels
    if window:
        description["bank_channels"] = banks[0].channels
    key = item_key(
        description=description,
        weights=digest_file(Path(start)) if store and (start := _start(params)) != "none" else None,
        parameters=training.model_dump(),
        frames=digest_file(store.folder / "manifest.json") if store else None,
        boxes=digest_file(Path(params.scope.boxes) / "boxes.parquet") if store else None,
        code=code_version("stages.train_head", "torch", "torchvision", "numpy"),
    )
    settings = HeadTraining(
        optimisation=optimisation(training),
        match_iou=training.match_iou,
        rule=rule,
        validation_boxes=validation.boxes,
        validation_rule=validation_rule,
        labels=labels,
        alpha=training.loss.alpha,
        gamma=training.loss.gamma,
        device=place,
        workers=count,
        batch=batch,
        state_folder=item_folder("train_head", key),
        log=LogSettings(params.training.log, "train_head", f"{spec.name}_{scope}", key, training.model_dump()),
    )
    learnt = HeadData(tables, keyframes, val_keyframes, window, spec.window.score if spec.window else 0.0)
    torch.manual_seed(seed_of(training.seed, "initial weights"))
    epochs = {"epochs": training.schedule.epochs, "saved_epochs": saved_epoch(settings.state_folder), "state": key}
    with recorded_run("train_head", f"{spec.name}_{scope}", dataset=params.dataset.name, **epochs):
        if store is None:
            head = build_scope_head(description)
            fitted = train_on_rows(head, learnt, settings, train=banks[0], val=banks[1])
            weights = head.state_dict()
        else:
            detector = build_scope_detector(description)
            description["initial_weights"] = _initial_weights(detector, params)
            fitted = train_with_detector(
                detector,
                learnt,
                settings,
                store=store,
                train=banks[0] if banks else None,
                clip=clip_settings(baseline["input"]),
                augmentation=augmentation(training.augmentation),
            )
            weights = detector.state_dict()
    if not is_main():
        return
    trained_films = len(set(keyframes.video_ids))
    sidecar = {**description, "parameters": training.model_dump(), "selected_epoch": fitted.selected_epoch}
    save_checkpoint(HEAD, weights, sidecar)
    write_training(
        Path("results/head"),
        fitted,
        select=training.checkpoint.select,
        more={
            "head": spec.name,
            "scope": scope,
            "keyframes": len(keyframes),
            "films": trained_films,
            "mixed_banks": mixed,
            "windows": filled,
        },
    )
    remove_folder(settings.state_folder)
    print(f"{HEAD}: {spec.name}, {fitted}, {len(keyframes)} keyframes of {trained_films} films")


def _hand_on_baseline(params: Params) -> None:
    """Let `evaluate` score the trained baseline itself."""
    if not is_main():
        return
    weights, baseline = load_checkpoint(BASELINE)
    spec, scope = params.head, params.scope.name
    shared = {"head": spec.name, "scope": scope, "mixed_banks": {}}
    sidecar = {
        **{name: baseline[name] for name in ("classes", "input", "labels")},
        "kind": "detector",
        "scope": scope,
        "head": spec.model_dump(),
        "detector": baseline,
        "threads": params.head_train.threads,
        "mixed_banks": {},
    }
    save_checkpoint(HEAD, weights, sidecar)
    # A converted detector was trained elsewhere: nothing is known of its epochs.
    fitted = Fitted(baseline.get("history", []), baseline.get("selected_epoch", 0))
    select = baseline["parameters"]["checkpoint"]["select"] if fitted.history else "last"
    write_training(Path("results/head"), fitted, select=select, more=shared)
    print(f"{HEAD}: the baseline{f' of epoch {fitted.selected_epoch}' if fitted.history else ''}, handed on")


def _start(params: Params) -> str:
    """The file that the backbone starts from in scope all, or `none`."""
    return params.head_train.kinetics if params.head_train.init == "kinetics" else params.scope.weights


def _initial_weights(detector: Detector, params: Params) -> dict[str, Any] | None:
    """Start the backbone as `head_train.init` says; returns what it started from, for the record."""
    if params.head_train.init == "kinetics":
        return load_backbone(detector.backbone, params.head_train.kinetics)
    tensors, sidecar = load_checkpoint(Path(params.scope.weights))
    prefix = "backbone."
    part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    load_into(detector.backbone, part, params.scope.weights)
    return {"file": Path(params.scope.weights).name, "sha256": sidecar["sha256"]}


if __name__ == "__main__":
    run(app)

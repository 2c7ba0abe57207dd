"""Train the detector whose features fill the bank.

    python -m stages.train_baseline
    actionbank train-baseline --device cuda

Reads frames, annotations and boxes; writes models/baseline.safetensors, its sidecar models/baseline.json,
results/baseline/metrics.json and results/baseline/epochs.tsv. A killed run goes on after its last epoch.
"""

from functools import partial
from pathlib import Path

import torch

from pipeline.base.code import code_version
from pipeline.base.command import BatchOption, DeviceOption, ProcessesOption, WorkersOption, new_app, run, worker_count
from pipeline.base.distributed import across_ranks, from_main
from pipeline.base.files import digest_tree, remove_folder
from pipeline.base.numerics import pick_device, set_numerics
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run, saved_epoch
from pipeline.base.work import item_folder, item_key
from pipeline.checkpoint.described_detector import detector_from_sidecar, load_backbone
from pipeline.checkpoint.weights import BASELINE, save_checkpoint
from pipeline.models.scores import action_scores, columns
from pipeline.params import load_params
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.folds import keyframes_in_folds
from pipeline.tables.keyframes import check_single_label
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import read_tables, split_keyframes
from pipeline.training.clip_steps import SampleSettings, check_clip_sizes, clip_steps, detector_loss
from pipeline.training.logs import LogSettings, check_log
from pipeline.training.loop import fit
from pipeline.training.losses import make_loss
from pipeline.training.norms import has_batch_norm
from pipeline.training.outs import write_training
from pipeline.training.validation import check_val_labels, validator
from pipeline.video.store import FrameStore
from stages.arguments import augmentation, clip_settings, label_kind, optimisation

app = new_app()


@app.command()
@across_ranks
def train_baseline(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
) -> None:
    """Train backbone and head on clips; a checkpoint of every epoch is kept until the run is done."""
    params = load_params()
    check_log(params.training.log)
    training, classes = params.baseline, params.dataset.classes
    data = Path("data", params.dataset.name)
    labels = label_kind(params.labels.model_dump())
    sources = from_main(lambda: {name: digest_tree(data / name) for name in ("frames", "annotations", "boxes")})
    place = pick_device(device)
    set_numerics(compute_dtype=training.compute_dtype, deterministic=training.deterministic, threads=training.threads)
    clip = clip_settings(params.backbone.input.model_dump())
    store = FrameStore(data / "frames")
    tables = read_tables(data / "annotations", data / "boxes")
    keyframes = split_keyframes(
        tables,
        "train",
        classes=classes,
        rule=BoxRule(training.box_threshold, training.lower_threshold, training.full_frame_box),
        films=store.video_ids,
        duration_seconds=store.duration_seconds,
    )
    keyframes = keyframes_in_folds(keyframes, **training.videos.model_dump(), what="baseline.videos")
    if training.schedule.epochs:
        check_clip_sizes(
            store, keyframes.video_ids, augmentation(training.augmentation), bn_batch=training.bn_batch,
            block="baseline.augmentation",
        )  # fmt: skip
    if labels.kind == "single":
        check_single_label(keyframes, several=params.labels.several)
    validation = training.validation
    scored_rule = BoxRule(validation.box_threshold)
    scored = split_keyframes(
        tables,
        "val",
        classes=classes,
        rule=scored_rule,
        with_empty=True,
        films=store.video_ids,
        duration_seconds=store.duration_seconds,
    )

    if setting := training.goes_by_map:
        check_val_labels(tables, f"baseline.{setting}")
    if tables.boxes is not None and validation.interval and validation.boxes == "detected":
        check_threshold(
            str(data / "boxes"), tables.boxes, videos_of(tables.keyframes, "val"), split="val",
            rule=scored_rule, key="baseline.validation.box_threshold",
        )  # fmt: skip

    torch.manual_seed(seed_of(training.seed, "initial weights"))
    description = {
        "kind": "detector",
        "backbone": params.backbone.name,
        "width": params.backbone.width,
        "input": params.backbone.input.model_dump(),
        "roi": params.roi.model_dump(),
        "head": training.head.model_dump(),
        "labels": params.labels.model_dump(),
        "columns": columns(classes, labels),
        "classes": classes,
        "dropout": training.dropout,
    }
    detector = detector_from_sidecar(description)
    initial = load_backbone(detector.backbone, training.init)
    detector.to(place)

    key = item_key(
        description=description,
        parameters=training.model_dump(),
        sources=sources,
        initial=initial,
        code=code_version("stages.train_baseline", "torch", "torchvision", "numpy"),
    )
    state = item_folder("train_baseline", key)
    epochs = {"epochs": training.schedule.epochs, "saved_epochs": saved_epoch(state), "state": key}
    changes = augmentation(training.augmentation)
    batch_norm = has_batch_norm(detector.head)
    samples = SampleSettings(clip, changes, training.match_iou, batch_norm, worker_count(workers))
    scoring = ScoreSettings(place, training.compute_dtype, scores_of=partial(action_scores, kind=labels))
    with recorded_run("train_baseline", params.backbone.name, dataset=params.dataset.name, **epochs):
        fitted = fit(
            detector,
            lambda epoch: clip_steps(
                store,
                keyframes,
                epoch,
                samples,
                window_of=None,
                global_batch=training.global_batch,
                bn_batch=training.bn_batch,
                seed=training.seed,
            ),
            steps_per_epoch=-(-len(keyframes) // training.global_batch),
            loss_of=detector_loss(detector, make_loss(labels, alpha=training.loss.alpha, gamma=training.loss.gamma)),
            validate=validator(
                lambda: score_films(detector, store, scored, scoring, clip=clip, batch=batch),
                tables,
                headline=training.validation.boxes,
                decode=labels.decode,
            ),
            optimisation=optimisation(training),
            device=place,
            state_folder=state,
            what="train baseline",
            log=LogSettings(params.training.log, "train_baseline", params.backbone.name, key, training.model_dump()),
        )
    if not is_main():
        return
    films = len(set(keyframes.video_ids))
    sidecar = {
        **description,
        "channels": detector.roi_channels,
        "initial_weights": initial,
        "parameters": training.model_dump(),
        "trained_on": sources,
        "selected_epoch": fitted.selected_epoch,
        "history": fitted.history,
    }
    save_checkpoint(BASELINE, detector.state_dict(), sidecar)
    write_training(
        Path("results/baseline"),
        fitted,
        select=training.checkpoint.select,
        more={"keyframes": len(keyframes), "films": films},
    )
    remove_folder(state)
    print(f"{BASELINE}: {fitted}, {len(keyframes)} keyframes of {films} films")


if __name__ == "__main__":
    run(app)

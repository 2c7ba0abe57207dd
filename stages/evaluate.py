"""Score the val split with the trained head: detections, mAP, tables for `dvc plots`.

    python -m stages.evaluate

Reads annotations, models/head.* and, by the head's scope, the val bank or frames, boxes and weights. Writes
results/detections/{detected,ground_truth}.{parquet,csv}, results/evaluate/ (metrics.json, per_class.csv, per_iou.csv,
pr_curves.csv) and results/metrics.json, the numbers that DVC shows. Two evaluations of one checkpoint give the same
files.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.bank.reader import Bank
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
from pipeline.base.distributed import across_ranks
from pipeline.base.errors import InputError
from pipeline.base.files import replace_folder, write_json
from pipeline.base.numerics import pick_device, set_numerics
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run
from pipeline.checkpoint.build_scope import build_scope_head, scored_detector
from pipeline.checkpoint.sidecars import Checkpoint, HandedOn
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import HEAD, load_checkpoint, load_into
from pipeline.evaluation.ava_csv import write_detections
from pipeline.evaluation.multisports.video_ap import check_protocol
from pipeline.evaluation.report import write_report
from pipeline.evaluation.summary import summary
from pipeline.features.open_rows import open_rows
from pipeline.features.windows import WindowSource
from pipeline.models.scores import action_scores
from pipeline.params import Evaluation, load_params
from pipeline.scoring.detections import ScoredKeyframe, detections_table
from pipeline.scoring.filled_windows import Filled, check_windows
from pipeline.scoring.keyframe_rows import score_rows, scoring_rows
from pipeline.scoring.score_films import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.schemas import DETECTIONS, write_table
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import Tables, read_tables, split_keyframes
from pipeline.video.store import FrameStore
from stages.bank_arguments import row_source
from stages.window_arguments import window_source

app = new_app()
OUT = tuple(f"{kind}.{form}" for kind in ("detected", "ground_truth") for form in ("parquet", "csv"))
Scores = dict[str, list[ScoredKeyframe]]


@app.command()
@across_ranks
def evaluate(
    workers: WorkersOption = 0,
    device: DeviceOption = "auto",
    batch: BatchOption = 8,
    processes: ProcessesOption = 1,
    windows: WindowsOption = "resident",
    window_cache: WindowCacheOption = 1024,
) -> None:
    """Score detected and ground-truth boxes of the val split, by class, group and IoU."""
    params = load_params()
    scoring, classes = params.evaluation, params.dataset.classes
    if scoring.metric == "multisports":
        check_protocol(scoring.protocol)
    annotations = Path("data", params.dataset.name, "annotations")
    weights, checkpoint = load_checkpoint(HEAD)
    spec = checkpoint.scored()
    if spec.scope != params.scope.name:
        raise InputError(f"{HEAD}: was trained in scope {spec.scope}, the parameters say {params.scope.name}")
    if spec.classes != classes:
        raise InputError(f"{HEAD}: scores {spec.classes} classes, dataset.classes is {classes}")
    rows = row_source(
        params, reads_bank=spec.head.window is not None, workers=worker_count(workers), device=device, batch=batch
    )
    bank, mixed = None, dict(checkpoint.record.get("mixed_banks", {}))
    if spec.kind == "head" or spec.head.window:
        bank = open_rows("val", Path(params.bank.val), rows)
        mixed |= _other_producer(bank, checkpoint, allow_mixed=params.bank.allow_mixed)
    place = pick_device(device)
    set_numerics(compute_dtype=scoring.compute_dtype, deterministic=False, threads=spec.threads)
    window = None
    if bank is not None and spec.head.window:
        window = window_source([bank], spec.head.window, device=place, mode=windows, cache_mb=window_cache)
    with recorded_run("evaluate", f"{spec.head.name}_{spec.scope}", dataset=params.dataset.name):
        if spec.kind == "head":
            assert bank is not None
            assert isinstance(spec, HeadSpec)
            tables = read_tables(annotations, None)
            found, filled = _score_bank(bank, tables, spec, weights, scoring, window, place)
        else:
            tables = read_tables(annotations, Path(params.scope.boxes))
            if tables.boxes is not None and scoring.boxes == "detected":
                check_threshold(
                    params.scope.boxes, tables.boxes, videos_of(tables.keyframes, "val"), split="val",
                    rule=_rule(scoring), key="evaluation.box_threshold",
                )  # fmt: skip
            store = FrameStore(Path(params.scope.frames))
            found, filled = _score_frames(store, tables, spec, weights, scoring, window, place, batch)
        if not is_main():
            return
        detections = {
            kind: detections_table(each, action_threshold=scoring.action_threshold, decode=scoring.decode)
            for kind, each in found.items()
        }
        with replace_folder(Path("results/detections"), OUT) as folder:
            for kind, table in detections.items():
                write_table(table, folder / f"{kind}.parquet", DETECTIONS)
                write_detections(folder / f"{kind}.csv", table)
        truth, keyframes = tables.of_split("val")
        metrics = write_report(
            Path("results/evaluate"),
            annotations=truth,
            keyframes=keyframes,
            detections=detections,
            labels=tables.scored_labels(scoring.classes, classes),
            headline_boxes=scoring.boxes,
            protocol=scoring.protocol,
            iou=scoring.iou,
            more_ious=scoring.more_ious,
            cap=scoring.cap,
            metric=scoring.metric,
            extra={"head": spec.head.name, "scope": spec.scope, "mixed_banks": mixed, "windows": filled},
        )
    write_json(Path("results/metrics.json"), summary(metrics, dataset=params.dataset.name))
    both = ", ".join(f"{kind} {_shown(metrics[kind]['map'])}" for kind in detections)
    print(f"results/evaluate: {spec.head.name}: mAP {both}; {metrics['counts']['keyframes']} keyframes")


def _other_producer(bank: Bank, checkpoint: Checkpoint, *, allow_mixed: bool) -> dict[str, list[Any]]:
    """Refuse a val bank of another checkpoint than the head was trained with."""
    both = [bank.provenance.get("checkpoint_sha256"), checkpoint.record.get("producer")]
    if both[0] == both[1]:
        return {}
    if not allow_mixed:
        raise InputError(f"{bank.where}: was made by checkpoint {both[0]}, the head was trained with {both[1]}")
    return {"head_and_val_bank": both}


def _score_bank(
    bank: Bank,
    tables: Tables,
    spec: HeadSpec,
    weights: dict[str, torch.Tensor],
    scoring: Evaluation,
    window: WindowSource | None,
    device: torch.device,
) -> tuple[Scores, Filled]:
    keyframes = split_keyframes(
        tables, "val", classes=spec.classes, with_empty=True, films=bank.videos, films_of="the val bank"
    )
    filled = check_windows(window, {"val": keyframes})
    head = build_scope_head(sidecar)
    load_into(head, weights, str(HEAD))
    head.eval().to(device)
    settings = _score_settings(sidecar, scoring, window, device)
    scores = {
        kind: score_rows(
            head,
            scoring_rows(
                bank,
                keyframes,
                row_set,
                rule=_rule(scoring),
                key="evaluation.box_threshold" if scoring.boxes == "detected" else "",
            ),
            settings,
        )
        for kind, row_set in (("detected", "detections"), ("ground_truth", "ground_truth"))
    }
    return scores, filled


def _score_frames(
    store: FrameStore,
    tables: Tables,
    spec: HeadSpec | HandedOn,
    weights: dict[str, torch.Tensor],
    scoring: Evaluation,
    window: WindowSource | None,
    device: torch.device,
    batch: int,
) -> tuple[Scores, Filled]:
    keyframes = split_keyframes(
        tables,
        "val",
        classes=sidecar["classes"],
        rule=_rule(scoring),
        with_empty=True,
        films=store.video_ids,
        duration_seconds=store.duration_seconds,
    )
    filled = check_windows(window, {"val": keyframes})
    detector = scored_detector(spec)
    load_into(detector, weights, str(HEAD))
    detector.eval().to(device)
    scores = score_films(
        detector,
        store,
        keyframes,
        _score_settings(sidecar, scoring, window, device),
        clip=clip_settings(sidecar["input"]),
        batch=batch,
    )
    return scores, filled


def _rule(scoring: Evaluation) -> BoxRule:
    return BoxRule(scoring.box_threshold, scoring.lower_threshold)


def _score_settings(
    sidecar: dict[str, Any], scoring: Evaluation, window: WindowSource | None, device: torch.device
) -> ScoreSettings:
    return ScoreSettings(
        device,
        scoring.compute_dtype,
        window.for_evaluation() if window else None,
        partial(action_scores, kind=label_kind(sidecar["labels"])),
    )


def _shown(value: float) -> str:
    return "none" if value != value else f"{value:.4f}"


if __name__ == "__main__":
    run(app)

"""Score the val split with a trained checkpoint: from banks or frames to detections, mAP and tables."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.base.files import replace_folder, write_json
from pipeline.base.ranks import is_main
from pipeline.base.runs import recorded_run
from pipeline.checkpoint.sidecars import Checkpoint, HandedOn
from pipeline.checkpoint.specs import HeadSpec
from pipeline.checkpoint.weights import HEAD, load_checkpoint
from pipeline.evaluation.ava_csv import write_detections
from pipeline.evaluation.multisports.video_ap import check_protocol
from pipeline.evaluation.report import write_report
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.summary import summary
from pipeline.features.open_rows import RowSource, foreign_producer, open_rows
from pipeline.features.windows import WindowOptions, WindowSource, window_source
from pipeline.models.detector import Detector
from pipeline.scoring.detections import ScoredKeyframe, detections_table, no_score_above
from pipeline.scoring.filled_windows import Filled, check_windows
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, scoring_rows
from pipeline.scoring.predictor import Predictor, make_predictor
from pipeline.scoring.score_films import films_of_store
from pipeline.scoring.settings import object_rule
from pipeline.tables.box_thresholds import check_threshold, videos_of
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.schemas import DETECTIONS, write_table
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import KnownFilms, Tables, read_tables, split_keyframes
from pipeline.video.store import FrameStore

OUT = tuple(f"{kind}.{form}" for kind in ("detected", "ground_truth") for form in ("parquet", "csv"))
KEY = "evaluation.box_threshold"
Scores = dict[str, list[ScoredKeyframe]]


@dataclass(frozen=True)
class _Inputs:
    """The model to score with, and the rows that it reads."""

    predictor: Predictor
    bank: Bank | None
    "The val bank, for a head that works on rows or reads windows."
    window: WindowSource | None
    mixed: dict[str, Any]
    "Differences between the banks that were accepted."


def evaluate_head(
    settings: EvaluationSettings, rows: RowSource, *, scope: str, classes: int, options: WindowOptions
) -> None:
    """Score models/head.*, and write results/detections, results/evaluate and results/metrics.json.

    Args:
        settings: see `EvaluationSettings`.
        rows: the source of bank, frames, annotations and boxes.
        scope: the scope in the parameters.
        classes: the number of classes in the parameters.
        options: where the rows of windows are held.

    Raises:
        InputError: the checkpoint has another scope or other classes, or a source is absent or does not fit.
    """
    if settings.metric == "multisports":
        check_protocol(settings.protocol)
    weights, checkpoint = load_checkpoint(HEAD)
    spec = checkpoint.scored()
    if spec.scope != scope:
        raise InputError(f"{HEAD}: was trained in scope {spec.scope}, the parameters say {scope}")
    if spec.classes != classes:
        raise InputError(f"{HEAD}: scores {spec.classes} classes, dataset.classes is {classes}")
    bank, mixed = open_val_bank(checkpoint, rows)
    predictor = make_predictor(weights, checkpoint, rows.hardware, compute_dtype=settings.compute_dtype)
    window = None
    if bank is not None and spec.head.window:
        window = window_source([bank], spec.head.window, device=rows.hardware.device, options=options)
    inputs = _Inputs(predictor, bank, window, mixed)
    dataset = rows.dataset
    with recorded_run("evaluate", f"{spec.head.name}_{spec.scope}", dataset=dataset):
        of_frames = isinstance(predictor.model, Detector)
        tables = read_tables(rows.sources.annotations, rows.sources.boxes if of_frames else None)
        scores, filled = (
            _score_frames(inputs, tables, rows, settings) if of_frames else _score_rows(inputs, tables, settings)
        )
        if not is_main():
            return
        metrics = _write(inputs, scores, filled, tables, settings)
    write_json(Path("results/metrics.json"), summary(metrics, dataset=dataset))
    both = ", ".join(f"{kind} {_shown(metrics[kind]['map'])}" for kind in scores)
    print(f"results/evaluate: {spec.head.name}: mAP {both}; {metrics['counts']['keyframes']} keyframes")


def open_val_bank(checkpoint: Checkpoint, rows: RowSource) -> tuple[Bank | None, dict[str, Any]]:
    """Open the val bank if the head reads it.

    Returns:
        The bank, or None; and its differences from what was expected, for the record.

    Raises:
        InputError: another checkpoint made it than the banks that the head was trained with, or than this detector, if
            the head reads its memory.
    """
    spec, record = checkpoint.scored(), checkpoint.record
    if spec.head.is_asynchronous:
        own = rows.for_memory(HEAD)
        bank = open_rows("val", own)
        return bank, foreign_producer(bank, own)
    mixed = dict(record.get("mixed_banks", {}))
    if checkpoint.kind != "head" and spec.head.window is None:
        return None, mixed
    bank = open_rows("val", rows.for_head(spec.head))
    both = [bank.provenance.get("checkpoint_sha256"), record.get("producer")]
    if both[0] == both[1]:
        return bank, mixed
    if not rows.allow_mixed:
        raise InputError(f"{bank.where}: was made by checkpoint {both[0]}, the head was trained with {both[1]}")
    return bank, {**mixed, "head_and_val_bank": both}


def keyframes_of_rows(tables: Tables, bank: Bank, spec: HeadSpec | HandedOn) -> KeyframeSet:
    """Return the keyframes of val that are scored from a bank."""
    films = KnownFilms(bank.videos, "the val bank")
    return split_keyframes(tables, "val", classes=spec.classes, with_empty=True, films=films)


def keyframes_of_frames(tables: Tables, store: FrameStore, spec: HeadSpec | HandedOn, rule: BoxRule) -> KeyframeSet:
    """Return the keyframes of val that are scored from frames, with their boxes and, if the head asks, objects."""
    return split_keyframes(
        tables, "val", classes=spec.classes, rule=rule, with_empty=True, films=films_of_store(store),
        objects=object_rule(spec.head),
    )  # fmt: skip


def _score_rows(inputs: _Inputs, tables: Tables, settings: EvaluationSettings) -> tuple[Scores, Filled]:
    bank, window, predictor = inputs.bank, inputs.window, inputs.predictor
    assert bank is not None
    keyframes = keyframes_of_rows(tables, bank, predictor.spec)
    filled = check_windows(window, {"val": keyframes})
    window_of = window.for_evaluation() if window else None
    key = KEY if settings.boxes == "detected" else ""
    objects = predictor.spec.head.objects
    return {
        kind: predictor.score_rows(
            scoring_rows(bank, keyframes, row_set, rule=settings.rule, key=key, objects=objects), window_of
        )
        for kind, row_set in SCORED_ROW_SETS.items()
    }, filled


def _score_frames(
    inputs: _Inputs, tables: Tables, rows: RowSource, settings: EvaluationSettings
) -> tuple[Scores, Filled]:
    if tables.boxes is not None and settings.boxes == "detected":
        of_val = videos_of(tables.keyframes, "val")
        check_threshold(str(rows.sources.boxes), tables.boxes, of_val, split="val", rule=settings.rule, key=KEY)
    store, window, predictor = FrameStore(rows.sources.frames), inputs.window, inputs.predictor
    keyframes = keyframes_of_frames(tables, store, predictor.spec, settings.rule)
    filled = check_windows(window, {"val": keyframes})
    return predictor.score_films(store, keyframes, window.for_evaluation() if window else None), filled


def _write(
    inputs: _Inputs, scores: Scores, filled: Filled, tables: Tables, settings: EvaluationSettings
) -> dict[str, Any]:
    spec = inputs.predictor.spec
    detections = {
        kind: detections_table(each, action_threshold=settings.action_threshold, decode=settings.decode)
        for kind, each in scores.items()
    }
    _warn_without_detections(scores, settings.action_threshold)
    with replace_folder(Path("results/detections"), OUT) as folder:
        for kind, table in detections.items():
            write_table(table, folder / f"{kind}.parquet", DETECTIONS)
            write_detections(folder / f"{kind}.csv", table)
    annotations, keyframes = tables.of_split("val")
    return write_report(
        Path("results/evaluate"),
        annotations=annotations,
        keyframes=keyframes,
        detections=detections,
        labels=tables.scored_labels(settings.classes, spec.classes),
        settings=settings,
        extra={"head": spec.head.name, "scope": spec.scope, "mixed_banks": inputs.mixed, "windows": filled},
    )


def _warn_without_detections(scores: Scores, action_threshold: float) -> None:
    for kind, each in scores.items():
        if reason := no_score_above(each, action_threshold=action_threshold):
            print(f"warning: {kind}: {reason}", file=sys.stderr)


def _shown(value: float) -> str:
    return "none" if value != value else f"{value:.4f}"

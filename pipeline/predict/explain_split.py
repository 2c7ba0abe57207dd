"""Explain the trained head of a project on a split, with the bank or the frames that `evaluate` reads."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.base.errors import InputError
from pipeline.checkpoint.weights import HEAD, load_checkpoint
from pipeline.features.open_rows import RowSource
from pipeline.features.windows import WindowOptions, WindowSource, window_source
from pipeline.models.attention import record_attention
from pipeline.models.detector import Detector
from pipeline.predict.explain_rows import Explanation, attention_table, check_attends, explain_rows
from pipeline.predict.seen_places import object_boxes_seen, scene_of
from pipeline.scoring.evaluate_head import keyframes_of_frames, keyframes_of_rows, open_val_bank
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, scoring_rows
from pipeline.scoring.predictor import Predictor, make_predictor
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import read_tables
from pipeline.video.store import FrameStore

IN_MEMORY = WindowOptions(mode="streamed")


def explain_split(
    source: RowSource,
    *,
    boxes: str,
    rule: BoxRule,
    films: Sequence[str] = (),
    top: int = 0,
) -> Explanation:
    """Score the val split with models/head.*, and tell what the head looked at.

    Args:
        source: the source of bank, frames, boxes and annotations.
        boxes: "detected" or "ground_truth".
        rule: selects among detected boxes, as in `evaluate`.
        films: only these films; empty takes all.
        top: see `explain_rows`.

    Raises:
        InputError: there is no head, it attends to nothing, what it reads is not there or made by another checkpoint,
            or a film is not among its films.
    """
    weights, checkpoint = load_checkpoint(HEAD)
    bank, _ = open_val_bank(checkpoint, source)
    predictor = make_predictor(weights, checkpoint, source.hardware, compute_dtype="fp32")
    check_attends(predictor)
    head, windows = predictor.spec.head, None
    if bank is not None and head.window:
        windows = window_source([bank], head.window, device=source.hardware.device, options=IN_MEMORY)
    if isinstance(predictor.model, Detector):
        return _explain_frames(predictor, source, windows, boxes=boxes, rule=rule, films=films, top=top)
    assert bank is not None  # a head of scope head scores rows
    keyframes = keyframes_of_rows(read_tables(source.sources.annotations, None), bank, predictor.spec)
    keyframes = _of_films(keyframes, films, bank.videos, bank.where)
    rows = scoring_rows(bank, keyframes, SCORED_ROW_SETS[boxes], rule=rule, objects=head.objects)
    return explain_rows(predictor, rows, windows, bank, top=top)


def _explain_frames(
    predictor: Predictor,
    source: RowSource,
    windows: WindowSource | None,
    *,
    boxes: str,
    rule: BoxRule,
    films: Sequence[str],
    top: int,
) -> Explanation:
    store = FrameStore(source.sources.frames)
    tables = read_tables(source.sources.annotations, source.sources.boxes)
    keyframes = keyframes_of_frames(tables, store, predictor.spec, rule)
    keyframes = _of_films(keyframes, films, store.video_ids, str(store.folder))
    keyframes = _one_kind(keyframes, boxes)
    with record_attention(predictor.model) as recorded:
        scored = predictor.score_films(store, keyframes, windows.for_evaluation() if windows else None)["detected"]
    scored = [each for each in scored if len(each.boxes_xyxy)]
    scene = scene_of(scored, windows, object_boxes_seen(keyframes))
    return Explanation(scored, attention_table(recorded, scene, top=top))


def _of_films(keyframes: KeyframeSet, films: Sequence[str], known: Sequence[str], where: str) -> KeyframeSet:
    """Return the keyframes of some films.

    Raises:
        InputError: one of them is not among the `known` films, which are those of `where`.
    """
    if unknown := sorted(set(films) - set(known)):
        raise InputError(f"{where}: has no film {unknown[0]!r}, expected some of {', '.join(known)}")
    return keyframes.select(np.flatnonzero(np.isin(keyframes.video_ids, list(films)))) if films else keyframes


def _one_kind(keyframes: KeyframeSet, boxes: str) -> KeyframeSet:
    """Return keyframes with one kind of boxes alone, as the proposals: so attention tells of no other person."""
    nobody = np.zeros(len(keyframes) + 1, np.int64)
    if boxes == "ground_truth":
        found, offsets = keyframes.ground_truth_xyxy, keyframes.ground_truth_offsets
        keyframes = replace(keyframes, proposals_xyxy=found, scores=np.ones(len(found)), proposal_offsets=offsets)
    return replace(
        keyframes,
        ground_truth_xyxy=keyframes.ground_truth_xyxy[:0],
        labels=keyframes.labels[:0],
        ground_truth_offsets=nobody,
    )

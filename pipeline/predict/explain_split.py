"""Explain the trained head of a project on a split, with the bank that `evaluate` reads."""

from collections.abc import Sequence

import numpy as np

from pipeline.base.errors import InputError
from pipeline.checkpoint.weights import HEAD
from pipeline.features.open_rows import RowSource, open_rows
from pipeline.features.windows import WindowOptions, window_source
from pipeline.models.detector import Detector
from pipeline.predict.explain_rows import Explanation, explain_rows
from pipeline.scoring.keyframe_rows import SCORED_ROW_SETS, scoring_rows
from pipeline.scoring.predictor import open_predictor
from pipeline.tables.select_boxes import BoxRule
from pipeline.tables.split_tables import KnownFilms, read_tables, split_keyframes

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
        source: the source of bank and annotations.
        boxes: "detected" or "ground_truth".
        rule: selects among detected boxes, as in `evaluate`.
        films: only these films; empty takes all.
        top: see `explain_rows`.

    Raises:
        InputError: there is no head, it works on frames or attends to nothing, or a film is not in the val bank.
    """
    predictor = open_predictor(HEAD, source.hardware, compute_dtype="fp32")
    spec = predictor.spec
    if isinstance(predictor.model, Detector):
        raise InputError(
            f"{HEAD}: was trained in scope all and scores frames, not rows of a bank; "
            "`actionbank predict FILM --explain 20` tells what it looks at"
        )
    bank = open_rows("val", source.for_head(spec.head))
    if unknown := sorted(set(films) - set(bank.videos)):
        raise InputError(f"{bank.where}: has no film {unknown[0]!r}, expected some of {', '.join(bank.videos)}")
    tables = read_tables(source.sources.annotations, None)
    known = KnownFilms(bank.videos, "the val bank")
    keyframes = split_keyframes(tables, "val", classes=spec.classes, with_empty=True, films=known)
    if films:
        keyframes = keyframes.select(np.flatnonzero(np.isin(keyframes.video_ids, list(films))))
    rows = scoring_rows(bank, keyframes, SCORED_ROW_SETS[boxes], rule=rule, objects=spec.head.objects)
    windows = None
    if spec.head.window:
        windows = window_source([bank], spec.head.window, device=source.hardware.device, options=IN_MEMORY)
    return explain_rows(predictor, rows, windows, bank, top=top)

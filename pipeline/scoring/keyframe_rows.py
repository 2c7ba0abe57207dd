"""Group stored features by keyframe, and score them with a head; no frame is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.bank.films_ahead import films_ahead
from pipeline.bank.reader import Bank
from pipeline.bank.row_places import RowPlaces, StoredFeatures, boxed_rows_at
from pipeline.base.distributed import gather
from pipeline.base.errors import InputError
from pipeline.base.numerics import compute_precision
from pipeline.base.ranks import share
from pipeline.models.context import Context, KeptRows
from pipeline.models.settings import ObjectSettings
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.keyframe_objects import KeyframeObjects, objects_at
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import KeyframeBoxes, KeyframeSet, pack_keyframes, stretches
from pipeline.tables.select_boxes import BoxRule, passing

# Keyframes per call of a head: enough to keep a GPU busy, with bounded memory.
SCORING_BATCH = 256
SCORED_ROW_SETS = {"detected": "detections", "ground_truth": "ground_truth"}
"The row set of each kind of boxes that is scored."


@dataclass(frozen=True)
class KeyframeRows:
    """Features of K keyframes' boxes; keyframe k has the rows from starts[k] to starts[k + 1]."""

    keyframes: KeyframeSet  # K
    starts: NDArray[np.int64]  # [K + 1]
    features: StoredFeatures  # [N, C]
    boxes_xyxy: NDArray[np.float64]  # [N, 4], normalised
    labels: Tensor | None = None  # bool [N, classes], in training
    objects: KeyframeObjects | None = None  # of the K keyframes, for a head that reads objects

    def select(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
        """Return the rows of the keyframes `index`, and each row's position in `index` (the clip index of a batch)."""
        counts, rows = stretches(self.starts[index], self.starts[index + 1])
        return rows, torch.from_numpy(np.repeat(np.arange(len(index)), counts))


def keyframe_rows(
    bank: Bank,
    keyframes: KeyframeSet,
    places: RowPlaces,
    labels: NDArray[np.bool_] | None = None,
    *,
    objects: ObjectSettings | None = None,
) -> KeyframeRows:
    """Group rows of a bank by keyframe; `labels` [N, classes] belong to these rows.

    With `objects` the keyframes' objects are found too.
    """
    counts = np.bincount(places.keyframe, minlength=len(keyframes))
    return KeyframeRows(
        keyframes,
        np.concatenate([[0], np.cumsum(counts)]),
        StoredFeatures(bank, places),
        places.boxes_xyxy,
        None if labels is None else torch.from_numpy(labels),
        None if objects is None else objects_at(bank, keyframes, objects),
    )


def scoring_rows(
    bank: Bank,
    keyframes: Sequence[KeyframeBoxes],
    row_set: str,
    *,
    rule: BoxRule,
    key: str = "",
    objects: ObjectSettings | None = None,
) -> KeyframeRows:
    """Select the rows to score: `detections` that pass the rule (see `places_above`), or all of `ground_truth`.

    Args:
        bank: any bank, or loose parts.
        keyframes: sorted by video_id; a keyframe whose film is not in the bank gets no rows.
        row_set: `detections` or `ground_truth`.
        rule: selects the detections of each keyframe; boxes of the whole frame are rows of the bank already.
        key: the parameter that sets the threshold; empty: it is not an error if no row reaches it.
        objects: see `objects_at`; None for a head that reads none.

    Raises:
        InputError: there are detections, none reaches the threshold, and `key` is given.
    """
    keyframes = pack_keyframes(keyframes)
    places = boxed_rows_at(bank, keyframes, row_set)
    if row_set == "detections":
        every = places.score
        places = places_above(places, rule)
        if key and every is not None and len(every) and not len(places.row):
            raise InputError(
                f"{bank.where}: no row of split {bank.split} has a score of at least {rule.threshold:g} ({key}): the "
                f"highest of {len(every)} is {every.max():.4g}; set {key} to what this detector's scores mean"
            )
    return keyframe_rows(bank, keyframes, places, objects=objects)


def places_above(places: RowPlaces, rule: BoxRule) -> RowPlaces:
    """Select the rows that pass, in the type in which scores are stored; rows without scores all pass."""
    if places.score is None:
        return places
    keyframes = int(places.keyframe.max(initial=-1)) + 1
    return places.take(passing(places.score, places.keyframe, keyframes, rule, np.float32))


def score_rows(
    head: nn.Module, rows: KeyframeRows, scoring: ScoreSettings, *, at_a_time: int = SCORING_BATCH
) -> list[ScoredKeyframe]:
    """Score every row; ranks share the batches.

    Args:
        head: in evaluation mode, on the settings' device.
        rows: see `scoring_rows`.
        scoring: see `ScoreSettings`.
        at_a_time: keyframes of one call of the head.

    Returns:
        One per keyframe of `rows`, in their order; empty on ranks other than 0.
    """
    device = scoring.device
    kept = KeptRows() if device.type == "cpu" else None
    batches: list[list[ScoredKeyframe]] = []
    batch_films = partial(_films, rows, at_a_time)
    firsts = share(range(0, len(rows.keyframes), at_a_time))
    for first in films_ahead(firsts, batch_films, [rows.features.bank], [*SCORED_ROW_SETS.values()]):
        index = np.arange(first, min(first + at_a_time, len(rows.keyframes)))
        keyframes = rows.keyframes[first : first + at_a_time]
        places, clip_index = rows.select(index)
        objects = None if rows.objects is None else rows.objects.of(index).to(device)
        windows = scoring.windows(keyframes, clip_index)
        windows = None if windows is None else replace(windows, kept=kept)
        context = Context(clip_index.to(device), windows, objects=objects)
        with torch.no_grad(), compute_precision(device, scoring.compute_dtype):
            logits = head(rows.features.take(places).to(device).float(), context)
        scores = scoring.scores(logits).cpu().numpy()
        bounds = rows.starts[index[0] : index[-1] + 2]
        batches.append(
            [
                ScoredKeyframe(
                    each.keyframe,
                    rows.boxes_xyxy[start:end],
                    scores[start - bounds[0] : end - bounds[0]],
                )
                for each, start, end in zip(keyframes, bounds[:-1], bounds[1:], strict=True)
            ]
        )
    return [each for batch in gather(batches) for each in batch]


def _films(rows: KeyframeRows, at_a_time: int, first: int) -> Sequence[str]:
    return rows.keyframes.video_ids[first : first + at_a_time]

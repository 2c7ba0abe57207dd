"""Tell for each person and second what a head with attention looked at: rows of the bank, persons, objects.

The head scores as in `evaluate`; `record_attention` (`pipeline/models/attention.py`) listens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.reader import Bank
from pipeline.bank.row_places import rows_at
from pipeline.bank.windows.seconds import index_rows
from pipeline.base.errors import InputError
from pipeline.features.windows import WindowSource
from pipeline.models.attention import Attention, Looker, attends, record_attention
from pipeline.models.settings import ObjectSettings, WindowSettings
from pipeline.predict.attention_table import ATTENTION, SEEN_BOX
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.keyframe_rows import KeyframeRows
from pipeline.scoring.predictor import Predictor
from pipeline.tables.keyframes import KeyframeSet
from pipeline.tables.ordering import ranks
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.window_span import own_second

EMPTY, ROW, PERSON, OBJECT = range(4)
KINDS = np.array(["empty", "row", "person", "object"], object)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the places of a layer stand for, for K keyframes with L places each."""

    kind: NDArray[np.int64]  # [K, L], EMPTY, ROW, PERSON or OBJECT
    time_seconds: FloatArray  # [K, L], NaN where nothing is known
    boxes_xyxy: NDArray[np.float64]  # [K, L, 4], NaN likewise
    score: FloatArray  # [K, L], NaN likewise

    @classmethod
    def nothing(cls, keyframes: int, places: int) -> "Seen":
        """Return empty places."""
        shape = (keyframes, places)
        return cls(np.full(shape, EMPTY), *(np.full(each, np.nan) for each in (shape, (*shape, 4), shape)))

    def fill(self, at: tuple[IntArray, IntArray], kind: int, time: FloatArray, rows: tuple[FloatArray, ...]) -> None:
        """Write the time, boxes and scores of things of one kind to the places `at`."""
        self.kind[at], self.time_seconds[at], self.boxes_xyxy[at] = kind, time, rows[0]
        self.score[at] = rows[1] if len(rows) > 1 else np.nan


@dataclass(frozen=True)
class Explanation:
    """Scores, and what they rest on."""

    scored: list[ScoredKeyframe]
    attention: pa.Table
    "ATTENTION, sorted as the scored boxes, by block and layer as the head calls them, and by descending weight."


def explain_rows(
    predictor: Predictor, rows: KeyframeRows, source: WindowSource | None, bank: Bank, *, top: int = 0
) -> Explanation:
    """Score rows of a bank as `evaluate` does, and tell what the head looked at.

    Args:
        predictor: of scope head.
        rows: see `scoring_rows`.
        source: the windows of the head; None for a head that reads none.
        bank: the bank of `rows` and `source`.
        top: of each person, block and layer, only so many of the largest weights; 0 takes all above 0.

    Raises:
        InputError: nothing in the head attends.
    """
    if not attends(predictor.model):
        raise InputError(
            f"head {predictor.spec.head.name}: it attends to nothing, so there is nothing to explain; expected a head "
            "with attention, such as lfb_nl, lfb_nl_split or one of aia"
        )
    with record_attention(predictor.model) as recorded:
        scored = predictor.score_rows(rows, source.for_evaluation() if source else None)
    parts = [
        _table(rows, looker, weights, _seen_by(looker, rows, source, bank, predictor), top=top)
        for looker, weights in joined(recorded)
    ]
    table = pa.concat_tables(parts)
    order = np.lexsort((np.arange(len(table)), np.concatenate([each["_person"].to_numpy() for each in parts])))
    return Explanation(scored, table.take(pa.array(order)).select(ATTENTION.names).cast(ATTENTION).combine_chunks())


def joined(recorded: Sequence[Attention]) -> list[tuple[Looker, FloatArray]]:
    """Put the batches of each layer together, [N, L]; where one has more places, the others get weight 0 there."""
    of_layer: dict[tuple[str, int], list[Attention]] = {}
    for each in recorded:
        of_layer.setdefault((each.looker.block, each.looker.layer), []).append(each)
    whole = []
    for parts in of_layer.values():
        batches = [each.weights_RL for each in parts]
        places = max(each.shape[1] for each in batches)
        padded = [torch.nn.functional.pad(each, (0, places - each.shape[1])) for each in batches]
        whole.append((parts[0].looker, torch.cat(padded).cpu().double().numpy()))
    return whole


def _seen_by(looker: Looker, rows: KeyframeRows, source: WindowSource | None, bank: Bank, predictor: Predictor) -> Seen:
    """Find what the places of a layer stand for."""
    if looker.block == "P":
        return persons_seen(rows)
    if looker.block == "O":
        objects = predictor.spec.head.objects
        assert objects is not None  # else the head has no such block
        return objects_seen(bank, rows.keyframes, objects)
    assert source is not None
    seen = rows_seen(bank, rows.keyframes, source.window, source.windows.min_score)
    if looker.own_slots is not None:
        _seat_own_persons(seen, persons_seen(rows), looker.own_slots)
    first = looker.first_slot
    return Seen(seen.kind[:, first:], seen.time_seconds[:, first:], seen.boxes_xyxy[:, first:], seen.score[:, first:])


def persons_seen(rows: KeyframeRows) -> Seen:
    """Return the persons of each keyframe, in their order."""
    counts = np.diff(rows.starts)
    seen = Seen.nothing(len(rows.keyframes), int(counts.max(initial=0)))
    keyframe = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(rows.starts[-1]) - rows.starts[keyframe]
    seen.fill((keyframe, place), PERSON, rows.keyframes.time_seconds[keyframe], (rows.boxes_xyxy,))
    return seen


def objects_seen(bank: Bank, keyframes: KeyframeSet, settings: ObjectSettings) -> Seen:
    """Return the objects of each keyframe, in the order of `objects_at`."""
    places = rows_at(bank, keyframes, "objects")
    if places.score is not None:
        places = places.take(places.score >= np.float32(settings.score))
    seen = Seen.nothing(len(keyframes), settings.per_keyframe)
    rank = ranks(places.keyframe)
    best = places.take(rank < settings.per_keyframe)
    score = np.full(len(best.row), np.nan) if best.score is None else best.score
    at = (best.keyframe, ranks(best.keyframe))
    seen.fill(at, OBJECT, keyframes.time_seconds[best.keyframe], (best.boxes_xyxy, score))
    return seen


def rows_seen(bank: Bank, keyframes: KeyframeSet, window: WindowSettings, min_score: float) -> Seen:
    """Return the rows of the bank in the slots of each keyframe's window, as `Windows.slots` chooses them."""
    seen = Seen.nothing(len(keyframes), window.seconds * window.per_second)
    own = own_second(window.seconds, window.span)
    ids = np.array(keyframes.video_ids, object)
    for video in dict.fromkeys(keyframes.video_ids):
        at = np.flatnonzero(ids == video)
        if video not in bank.videos:
            continue
        stored, index = index_rows(bank, video, min_score)
        starts, counts = index.find(np.floor(keyframes.timestamp[at]).astype(np.int64) - own, window.seconds)
        if window.exclude_keyframe:
            counts[:, own] = 0
        counts = np.minimum(counts, window.per_second)
        where, second, rank = np.nonzero(np.arange(window.per_second) < counts[:, :, None])
        row = stored[starts[where, second] + rank]
        columns = {name: bank.column(video, "detections", name) for name in ("timestamp", "boxes_xyxy", "score")}
        timestamp, boxes, score = (None if each is None else each[row] for each in columns.values())
        assert timestamp is not None  # every bank has it
        keyframe = at[where]
        time = keyframes.time_seconds[keyframe] + (timestamp - keyframes.timestamp[keyframe])
        known = (
            np.full((len(row), 4), np.nan) if boxes is None else boxes,
            np.full(len(row), np.nan) if score is None else score,
        )
        seen.fill((keyframe, second * window.per_second + rank), ROW, time, known)
    return seen


def _seat_own_persons(seen: Seen, persons: Seen, slots: slice) -> None:
    """Put the keyframe's persons into its own second, as AIA does; of more persons than slots the first ones."""
    kept = min(slots.stop - slots.start, persons.kind.shape[1])
    for ours, theirs in zip(vars(seen).values(), vars(persons).values(), strict=True):
        ours[:, slots] = EMPTY if ours is seen.kind else np.nan
        ours[:, slots.start : slots.start + kept] = theirs[:, :kept]


def _table(rows: KeyframeRows, looker: Looker, weights: FloatArray, seen: Seen, *, top: int) -> pa.Table:
    """Return the rows of one layer, with a column `_person`, the number of the scored box."""
    keyframe_of = np.repeat(np.arange(len(rows.keyframes)), np.diff(rows.starts))
    order = np.argsort(-np.nan_to_num(weights), axis=1, kind="stable")
    order = order[:, :top] if top else order
    chosen = np.take_along_axis(np.nan_to_num(weights), order, axis=1)
    person, column = np.nonzero(chosen > 0)
    keyframe, place = keyframe_of[person], order[person, column]
    at = (keyframe, place)
    boxes, seen_boxes = rows.boxes_xyxy[person], seen.boxes_xyxy[at]
    columns = {
        "video_id": pa.array(np.array(rows.keyframes.video_ids, object)[keyframe], pa.string()),
        "timestamp": rows.keyframes.timestamp[keyframe],
        "time_seconds": rows.keyframes.time_seconds[keyframe],
        **{name: boxes[:, number] for number, name in enumerate(BOX_COLUMNS)},
        "block": pa.array([looker.block] * len(person), pa.string()),
        "layer": pa.array([looker.layer] * len(person), pa.int32()),
        "seen": pa.array(KINDS[seen.kind[at]], pa.string()),
        "seen_time_seconds": pa.array(seen.time_seconds[at], from_pandas=True),
        **{name: pa.array(seen_boxes[:, number], from_pandas=True) for number, name in enumerate(SEEN_BOX)},
        "seen_score": pa.array(seen.score[at].astype(np.float64), from_pandas=True),
        "weight": chosen[person, column],
        "_person": person,
    }
    return pa.table(columns)

"""Tell for each person and second what a head with attention looked at: rows of the bank, persons, objects.

The head scores as always; `record_attention` (`pipeline/models/attention.py`) listens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from pipeline.bank.feature_rows import FloatArray
from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.features.windows import WindowSource
from pipeline.models.attention import Attention, Looker, attends, record_attention
from pipeline.predict.attention_table import ATTENTION, SEEN_BOX
from pipeline.predict.seen_places import KINDS, ScoredScene, SeenPlaces, objects_seen, scene_of
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.keyframe_rows import KeyframeRows
from pipeline.scoring.predictor import Predictor
from pipeline.tables.schemas import BOX_COLUMNS


@dataclass(frozen=True)
class Explanation:
    """Scores, and what they rest on."""

    scored: list[ScoredKeyframe]
    attention: pa.Table
    "ATTENTION, see `attention_table`."


def explain_rows(
    predictor: Predictor, rows: KeyframeRows, source: WindowSource | None, bank: Bank, *, top: int = 0
) -> Explanation:
    """Score rows of a bank as `evaluate` does, and tell what the head looked at.

    Args:
        predictor: of scope head.
        rows: see `scoring_rows`.
        source: the windows of the head; None for a head that reads none.
        bank: the bank of `rows`.
        top: see `attention_table`.

    Raises:
        InputError: nothing in the head attends.
    """
    check_attends(predictor)
    with record_attention(predictor.model) as recorded:
        scored = predictor.score_rows(rows, source.for_evaluation() if source else None)
    settings = predictor.spec.head.objects
    objects = objects_seen(bank, rows.keyframes, settings) if settings else None
    return Explanation(scored, attention_table(recorded, scene_of(scored, source, objects), top=top))


def check_attends(predictor: Predictor) -> None:
    """Check that a head has attention that can be told.

    Raises:
        InputError: it has none.
    """
    if not attends(predictor.model):
        raise InputError(
            f"head {predictor.spec.head.name}: it attends to nothing, so there is nothing to explain; expected a head "
            "with attention, such as lfb_nl, lfb_nl_split or one of aia"
        )


def attention_table(recorded: Sequence[Attention], scene: ScoredScene, *, top: int) -> pa.Table:
    """Return ATTENTION, sorted by the scored boxes, by block and layer as the head calls them, and by falling weight.

    Args:
        recorded: of all batches, in the order of the scene's persons.
        scene: who was scored.
        top: of each person, block and layer, only so many of the largest weights; 0 takes all above 0.
    """
    if not recorded:
        return ATTENTION.empty_table()
    parts = [_table(scene, looker, weights, scene.seen_by(looker), top=top) for looker, weights in joined(recorded)]
    table = pa.concat_tables(parts)
    order = np.lexsort((np.arange(len(table)), np.concatenate([each["_person"].to_numpy() for each in parts])))
    return table.take(pa.array(order)).select(ATTENTION.names).cast(ATTENTION).combine_chunks()


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


def _table(scene: ScoredScene, looker: Looker, weights: FloatArray, seen: SeenPlaces, *, top: int) -> pa.Table:
    """Return the rows of one layer, with a column `_person`, the number of the scored box."""
    keyframe_of = np.repeat(np.arange(len(scene.video_ids)), np.diff(scene.starts))
    order = np.argsort(-np.nan_to_num(weights), axis=1, kind="stable")
    order = order[:, :top] if top else order
    chosen = np.take_along_axis(np.nan_to_num(weights), order, axis=1)
    person, column = np.nonzero(chosen > 0)
    keyframe, place = keyframe_of[person], order[person, column]
    at = (keyframe, place)
    boxes, seen_boxes = scene.boxes_xyxy[person], seen.boxes_xyxy[at]
    columns = {
        "video_id": pa.array(np.array(scene.video_ids, object)[keyframe], pa.string()),
        "timestamp": scene.timestamp[keyframe],
        "time_seconds": scene.time_seconds[keyframe],
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

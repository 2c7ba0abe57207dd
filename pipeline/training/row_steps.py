"""Train a head on rows of a bank."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.bank.films_ahead import films_ahead
from pipeline.bank.reader import Bank
from pipeline.bank.row_places import RowPlaces, boxed_rows_at
from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.models.context import Context, WindowOf
from pipeline.models.settings import ObjectSettings
from pipeline.scoring.keyframe_rows import KeyframeRows, keyframe_rows, places_above
from pipeline.tables.film_ends import FilmMoment, is_beyond, say_beyond
from pipeline.tables.iou import match_pairs, pair_iou
from pipeline.tables.keyframes import KeyframeBoxes, KeyframeSet, pack_keyframes, stretches
from pipeline.tables.select_boxes import BoxRule
from pipeline.training.batch import Batch
from pipeline.training.losses import LossOf, multilabel_loss
from pipeline.training.settings import Training
from pipeline.training.steps import Step, Stretch, deal_parts

ROW_SETS = ("detections", "ground_truth")
"What a head in scope head reads: its rows, and those of its windows."


def training_rows(
    bank: Bank,
    keyframes: Sequence[KeyframeBoxes],
    *,
    rule: BoxRule,
    match_iou: float | Literal["none"],
    objects: ObjectSettings | None = None,
) -> KeyframeRows:
    """Select the labelled rows of a train bank: every annotated box, and the detected boxes that match one.

    Args:
        bank: with `ground_truth` rows of these annotations.
        keyframes: annotated keyframes, sorted by video_id; those without rows are left out.
        rule: selects the detected boxes of each keyframe before matching.
        match_iou: a detected box takes the labels of an annotated box if they overlap at least this much; none: no
            detected box is selected.
        objects: see `objects_at`; None for a head that reads none.

    Raises:
        InputError: an annotated box is not in the bank.
    """

    keyframes = pack_keyframes(keyframes)
    truth, offsets = keyframes.ground_truth_xyxy, keyframes.ground_truth_offsets
    annotated = boxed_rows_at(bank, keyframes, "ground_truth")
    row, box = _pairs(annotated, offsets)
    same = (annotated.boxes_xyxy[row] == truth[box]).all(axis=1)
    annotated, owner = annotated.take(row[same]), box[same]
    _check_complete(bank, keyframes, owner)
    if match_iou == "none":
        return keyframe_rows(bank, keyframes, annotated, keyframes.labels[owner])
    detected = places_above(boxed_rows_at(bank, keyframes, "detections"), rule)
    row, box = _pairs(detected, offsets)
    counts = len(detected.row), len(truth)
    match = match_pairs(pair_iou(detected.boxes_xyxy[row], truth[box]), row, box, counts, match_iou=match_iou)
    places, order = annotated.join(detected.take(match >= 0))
    labels = keyframes.labels[np.concatenate([owner, match[match >= 0]])[order]]
    return keyframe_rows(bank, keyframes, places, labels, objects=objects)


def _pairs(places: RowPlaces, offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair each row with each annotated box of its keyframe; return the rows (ascending) and boxes of all pairs."""
    counts, box = stretches(offsets[places.keyframe], offsets[places.keyframe + 1])
    return np.repeat(np.arange(len(counts)), counts), box


def _check_complete(bank: Bank, keyframes: KeyframeSet, owner: NDArray[np.int64]) -> None:
    """Check that every annotated box of the bank's films has a row; `owner` lists the boxes that have one.

    Boxes beyond the end of their film have none; their keyframes are counted in a printed line.
    """
    counts = np.diff(keyframes.ground_truth_offsets)
    lost = np.setdiff1d(np.arange(counts.sum()), owner)
    keyframe = np.repeat(np.arange(len(counts)), counts)[lost]
    missing = np.bincount(keyframe, minlength=len(counts))
    videos = set(bank.videos)
    beyond = []
    for place in np.flatnonzero(missing).tolist():
        video_id, timestamp, time = (
            keyframes.video_ids[place],
            keyframes.timestamp[place],
            keyframes.time_seconds[place],
        )
        if video_id not in videos:
            continue
        length = bank.attributes(video_id).get("duration_seconds", np.inf)
        if not is_beyond(time, length):
            raise InputError(
                f"{bank.where}: {missing[place]} of {counts[place]} annotated boxes of video "
                f"{video_id}, timestamp {timestamp:g} have no row; the bank was made from other annotations"
            )
        beyond.append(FilmMoment(video_id, float(timestamp), float(time), length))
    say_beyond(beyond, f"keyframes of {bank.split}")


def row_steps(
    rows: KeyframeRows, stretch: Stretch, settings: Training, *, window_of: WindowOf | None
) -> Iterator[Step[Batch]]:
    """Yield the steps of a stretch of a pass over the keyframes that have rows, in an order drawn from (seed, pass).

    `window_of` makes the windows of this pass.
    """
    with_rows = np.flatnonzero(np.diff(rows.starts))
    order = rng_of(settings.seed, "order", stretch.number).permutation(with_rows)
    dealt = deal_parts(order, global_batch=settings.global_batch, bn_batch=settings.bn_batch)
    steps = list(islice(dealt, stretch.first, stretch.last))

    def films_of(step: tuple[Sequence[NDArray[np.int64]], int]) -> Iterator[str]:
        return (rows.keyframes.video_ids[place] for part in step[0] for place in part.tolist())

    for mine, count in films_ahead(steps, films_of, [rows.features.bank], ROW_SETS):
        yield Step((_batch(rows, part, window_of) for part in mine), count)


def steps_per_pass(rows: KeyframeRows, global_batch: int) -> int:
    """Count the steps of a pass over the keyframes that have rows."""
    return -(-int((np.diff(rows.starts) > 0).sum()) // global_batch)


def _batch(rows: KeyframeRows, index: NDArray[np.int64], window_of: WindowOf | None) -> Batch:
    assert rows.labels is not None
    places, clip_index = rows.select(index)
    window = None
    if window_of is not None:
        keyframes = rows.keyframes
        video_ids = [keyframes.video_ids[place] for place in index.tolist()]
        window = window_of(video_ids, keyframes.timestamp[index], clip_index)
    return Batch(
        labels=rows.labels[torch.from_numpy(places)].float(),
        clip_index=clip_index,
        rows=rows.features.take(places).float(),
        window=window,
        objects=None if rows.objects is None else rows.objects.of(index),
    )


def head_loss(head: nn.Module, loss: LossOf = multilabel_loss) -> Callable[[Batch], Tensor]:
    """Return a function that computes the loss of a batch of rows; `loss` gets logits and labels (see `make_loss`)."""

    def loss_of(batch: Batch) -> Tensor:
        assert batch.rows is not None
        return loss(head(batch.rows, Context(batch.clip_index, batch.window, objects=batch.objects)), batch.labels)

    return loss_of

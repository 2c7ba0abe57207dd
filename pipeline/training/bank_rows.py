"""Training of a head on rows of a bank."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.bank.reader import Bank
from pipeline.bank.rows import Rows
from pipeline.datasets.keyframes import KeyframeBoxes
from pipeline.errors import InputError
from pipeline.inference.rows import KeyframeRows, above, keyframe_rows
from pipeline.inference.windows import TrainingWindowOf
from pipeline.models.heads.head import HeadContext
from pipeline.randomness import rng_of
from pipeline.training.assign import match_proposals
from pipeline.training.batch import Batch, Step, deal_parts
from pipeline.training.losses import LossOf, multilabel_loss


def training_rows(
    bank: Bank,
    keyframes: Sequence[KeyframeBoxes],
    *,
    box_threshold: float,
    lower_threshold: bool,
    match_iou: float,
) -> KeyframeRows:
    """The labelled rows of a train bank: every annotated box, and the detected boxes that match one.

    Args:
        bank: with `ground_truth` rows of these annotations.
        keyframes: annotated keyframes, sorted by video_id; those without rows are left out.
        box_threshold: least score of a detected box.
        lower_threshold: where no box of a keyframe reaches the threshold, take those of its best score.
        match_iou: a detected box takes the labels of an annotated box that it overlaps at least so much.

    Raises:
        InputError: an annotated box is not in the bank.
    """

    def choose(each: KeyframeBoxes, detected: Rows, annotated: Rows) -> tuple[Rows, NDArray[np.float32]]:
        place = {box.tobytes(): row for row, box in enumerate(each.ground_truth_xyxy)}
        owner = [place.get(box.tobytes(), -1) for box in annotated.boxes_xyxy]
        missing = len(place) - len(set(owner) - {-1})
        if missing and each.keyframe.video_id in bank.videos:
            raise InputError(
                f"{bank.where}: {missing} of {len(place)} annotated boxes of video {each.keyframe.video_id}, timestamp "
                f"{each.keyframe.timestamp:g} have no row; the bank was made from other annotations"
            )
        detected = above(detected, box_threshold, lower_threshold=lower_threshold)
        match, _ = match_proposals(detected.boxes_xyxy.astype(np.float64), each.ground_truth_xyxy, match_iou=match_iou)
        known = np.array([row for row, box in enumerate(owner) if box >= 0], np.int64)
        matched = np.flatnonzero(match >= 0)
        rows = Rows(
            np.concatenate([annotated.features[known], detected.features[matched]]),
            np.concatenate([annotated.timestamp[known], detected.timestamp[matched]]),
            np.concatenate([annotated.boxes_xyxy[known], detected.boxes_xyxy[matched]]),
        )
        boxes = np.concatenate([np.array(owner, np.int64)[known], match[matched]])
        return rows, each.labels[boxes].astype(np.float32)

    return keyframe_rows(bank, keyframes, choose)


def row_steps(
    rows: KeyframeRows,
    epoch: int,
    *,
    window_of: TrainingWindowOf | None,
    global_batch: int,
    bn_batch: int,
    seed: int,
) -> Iterator[Step]:
    """The optimiser steps of one epoch over the keyframes that have rows, in an order drawn from (seed, epoch)."""
    with_rows = np.flatnonzero(np.diff(rows.starts))
    order = rng_of(seed, "order", epoch).permutation(with_rows)
    for mine, count in deal_parts(order, global_batch=global_batch, bn_batch=bn_batch):
        yield Step([_batch(rows, part, epoch, window_of) for part in mine], count)


def steps_per_epoch(rows: KeyframeRows, global_batch: int) -> int:
    """How many steps `row_steps` gives."""
    return -(-int((np.diff(rows.starts) > 0).sum()) // global_batch)


def _batch(rows: KeyframeRows, index: NDArray[np.int64], epoch: int, window_of: TrainingWindowOf | None) -> Batch:
    assert rows.labels is not None
    places, clip_index = rows.select(index)
    window, mask = None, None
    if window_of is not None:
        keyframes = [rows.keyframes[i] for i in index.tolist()]
        window, mask = window_of(
            [each.keyframe.video_id for each in keyframes],
            np.array([each.keyframe.timestamp for each in keyframes]),
            epoch,
        )
    taken = torch.from_numpy(places)
    return Batch(
        labels=rows.labels[taken],
        clip_index=clip_index,
        rows=rows.features[taken].float(),
        window=window,
        window_mask=mask,
    )


def head_loss(head: nn.Module, loss: LossOf = multilabel_loss) -> Callable[[Batch], Tensor]:
    """The loss of one batch of rows; `loss` gets logits and labels (see `make_loss`)."""

    def loss_of(batch: Batch) -> Tensor:
        assert batch.rows is not None
        context = HeadContext(clip_index=batch.clip_index, window=batch.window, window_mask=batch.window_mask)
        return loss(head(batch.rows, context), batch.labels)

    return loss_of

"""Make training batches of clips, read from the frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.features.film_clips import read_ahead
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.split_tables import Tables
from pipeline.training.assign import assign_boxes
from pipeline.training.batch import Batch
from pipeline.training.losses import LossOf, multilabel_loss
from pipeline.training.settings import Augmentation, Training
from pipeline.training.steps import Step, deal_parts
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import clip_indices, training_clip
from pipeline.video.size import clip_sizes, sizes_in_words
from pipeline.video.store import FrameStore


@dataclass(frozen=True)
class ClipData:
    """The frames, and the keyframes whose clips train and score a detector."""

    store: FrameStore
    clip: ClipInput
    "The clip that the backbone expects."
    train: Sequence[KeyframeBoxes]
    val: Sequence[KeyframeBoxes]
    "The keyframes that validation scores."
    tables: Tables


@dataclass(frozen=True)
class Sample:
    """The clip and boxes of one keyframe."""

    clip: Tensor  # [3, T, h, w]
    boxes_xyxy: NDArray[np.float32]  # [n, 4], pixels
    labels: NDArray[np.float32]  # [n, classes], zeros for a box that matches none


def training_sample(
    store: FrameStore,
    each: KeyframeBoxes,
    *,
    clip: ClipInput,
    settings: Training,
    unmatched: bool,
    rng: np.random.Generator,
) -> Sample:
    """Read, augment and label one keyframe; every draw comes from `rng`.

    Annotated boxes and the proposals that match one are trained on; box jitter moves them after the matching. With
    `unmatched`, the other proposals follow without labels: the loss ignores them, but a batch norm of the head sees
    them, as upstream.
    """
    indices = clip_indices(
        each.keyframe.time_seconds,
        fps=store.fps,
        frames=clip.frames,
        interval=clip.interval,
        total=store.grid_frames(each.keyframe.video_id),
        rng=rng,
        offset_frames=clip.offset_frames,
    )
    truth, changes = len(each.ground_truth_xyxy), settings.augmentation
    frames, boxes = training_clip(
        store.read_clip(each.keyframe.video_id, indices),
        np.concatenate([each.ground_truth_xyxy, each.proposals_xyxy]),
        clip,
        rng=rng,
        short_side=changes.short_side,
        crop=None if changes.crop == "none" else changes.crop,
        flip=changes.flip,
        colour=changes.colour,
    )
    corners = boxes.numpy().astype(np.float64)
    labels = each.labels.astype(np.float64)
    chosen = assign_boxes(corners[truth:], corners[:truth], labels, generator=rng, match_iou=settings.match_iou)
    kept = len(chosen.rows) if unmatched else chosen.positives
    corners = jittered(corners[chosen.rows[:kept]], changes.box_jitter, frames.shape[-1], frames.shape[-2], rng)
    return Sample(frames, corners.astype(np.float32), chosen.labels[:kept].astype(np.float32))


def jittered(
    boxes_xyxy: NDArray[np.float64], std: float, width: int, height: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Move every edge of each box by a normal share (deviation `std`) of the box's side, within the clip."""
    if not std:
        return boxes_xyxy
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    moved = boxes_xyxy + rng.normal(0, std, boxes_xyxy.shape) * sides
    return moved.clip(0, [width, height, width, height])


def check_clip_sizes(
    store: FrameStore, video_ids: Iterable[str], augmentation: Augmentation, *, bn_batch: int, block: str
) -> None:
    """Check, before any clip is read, that the clips of all films fit into one batch.

    Args:
        store: the frame store.
        video_ids: the films to train on.
        augmentation: how clips are scaled and cropped.
        bn_batch: keyframes of a batch.
        block: the parameters' block, e.g. `baseline.augmentation`.

    Raises:
        InputError: clips are not cropped, and their sizes differ.
    """
    if augmentation.crop != "none" or bn_batch == 1:
        return
    side = augmentation.short_side[0]
    sizes = clip_sizes({each: store.size(each) for each in set(video_ids)}, side)
    if len(sizes) > 1:
        raise InputError(
            f"{store.folder}: films differ in shape: clips of {sizes_in_words(sizes)}, and those of one batch have one "
            f"size; set {block}.crop to at most {side} ({block}.short_side), so that each is cut to a random square"
        )


def clip_steps(
    data: ClipData,
    epoch: int,
    settings: Training,
    *,
    unmatched: bool,
    window_of: WindowOf | None,
    workers: int,
) -> Iterator[Step[Batch]]:
    """Yield the optimiser steps of one epoch over the keyframes, in an order drawn from (seed, epoch).

    A sample depends on (seed, epoch, keyframe) alone, so workers, ranks or a resumed run do not change it. A rank
    reads only its own parts, one after the other. `unmatched`: see `training_sample`; `window_of` makes the windows of
    this epoch.
    """
    order = rng_of(settings.seed, "order", epoch).permutation(len(data.train))
    steps = list(deal_parts(order, global_batch=settings.global_batch, bn_batch=settings.bn_batch))

    def read(index: int) -> tuple[KeyframeBoxes, Sample]:
        each = data.train[index]
        rng = rng_of(settings.seed, "sample", epoch, each.keyframe.video_id, each.keyframe.timestamp)
        return each, training_sample(data.store, each, clip=data.clip, settings=settings, unmatched=unmatched, rng=rng)

    indices = [index for mine, _ in steps for part in mine for index in part.tolist()]
    samples = read_ahead(read, indices, threads=workers)
    for mine, count in steps:
        yield Step((_batch(index, list(islice(samples, len(index))), window_of) for index in mine), count)


def _batch(index: NDArray[np.int64], part: Sequence[tuple[KeyframeBoxes, Sample]], window_of: WindowOf | None) -> Batch:
    counts = torch.tensor([len(sample.boxes_xyxy) for _, sample in part])
    clip_index = torch.repeat_interleave(torch.arange(len(part)), counts)
    window = None
    if window_of is not None:
        keyframes = [each.keyframe for each, _ in part]
        video_ids = [keyframe.video_id for keyframe in keyframes]
        timestamps = np.array([keyframe.timestamp for keyframe in keyframes])
        window = window_of(video_ids, timestamps, clip_index)
    return Batch(
        labels=torch.from_numpy(np.concatenate([sample.labels for _, sample in part])),
        clip_index=clip_index,
        clips=torch.stack([sample.clip for _, sample in part]),
        boxes_xyxy=torch.from_numpy(np.concatenate([sample.boxes_xyxy for _, sample in part])),
        window=window,
        keyframes=torch.from_numpy(index),
    )


def detector_loss(
    detector: Detector, loss: LossOf = multilabel_loss, keep: Callable[[Batch, Tensor], None] | None = None
) -> Callable[[Batch], Tensor]:
    """Return a function that computes the loss of a batch of clips.

    Args:
        detector: gives the logits.
        loss: gets logits and labels (see `make_loss`).
        keep: gets each batch with the features of its boxes, [R, C], pooled and detached, as the head gets them.
    """

    def loss_of(batch: Batch) -> Tensor:
        assert batch.clips is not None
        assert batch.boxes_xyxy is not None
        kept = partial(keep, batch) if keep else None
        logits = detector(batch.clips, batch.boxes_xyxy, batch.clip_index, batch.window, keep=kept)
        return loss(logits, batch.labels)

    return loss_of

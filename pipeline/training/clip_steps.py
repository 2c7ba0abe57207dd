"""Make training batches of clips, read from the frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.randomness import rng_of
from pipeline.features.film_clips import read_ahead
from pipeline.features.object_boxes import object_boxes
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
from pipeline.video.clips import clip_indices, draw_clip, training_boxes, training_clip
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
    flip_objects: bool = True
    "False: in a flipped clip the boxes of objects stay where they were, as AlphAction trains."


@dataclass(frozen=True)
class Sample:
    """The clip and boxes of one keyframe."""

    clip: Tensor  # [3, T, h, w]
    boxes_xyxy: NDArray[np.float32]  # [n, 4], pixels
    labels: NDArray[np.float32]  # [n, classes], zeros for a box that matches none
    objects_xyxy: NDArray[np.float32] | None = None  # [places, 4], pixels, NaN in empty places


def training_sample(
    store: FrameStore,
    each: KeyframeBoxes,
    *,
    clip: ClipInput,
    settings: Training,
    unmatched: bool,
    flip_objects: bool = True,
    rng: np.random.Generator,
) -> Sample:
    """Read, augment and label one keyframe; every draw comes from `rng`.

    Annotated boxes and the proposals that match one are trained on; box jitter moves them after the matching. With
    `unmatched`, the other proposals follow without labels: the loss ignores them, but a batch norm of the head sees
    them, as upstream. Boxes of objects go where the clip shows them (see `ClipData` for `flip_objects`) and are not
    jittered.
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
    draw = draw_clip(
        rng,
        short_side=changes.short_side,
        crop=None if changes.crop == "none" else changes.crop,
        flip=changes.flip,
        colour=changes.colour,
    )
    pictures = store.read_clip(each.keyframe.video_id, indices)
    frames = training_clip(pictures, clip, draw)
    boxes = training_boxes(np.concatenate([each.ground_truth_xyxy, each.proposals_xyxy]), pictures, draw)
    corners = boxes.astype(np.float64)
    labels = each.labels.astype(np.float64)
    chosen = assign_boxes(corners[truth:], corners[:truth], labels, generator=rng, match_iou=settings.match_iou)
    kept = len(chosen.rows) if unmatched else chosen.positives
    corners = jittered(corners[chosen.rows[:kept]], changes.box_jitter, frames.shape[-1], frames.shape[-2], rng)
    objects = None
    if each.objects_xyxy is not None:
        put = draw if flip_objects else replace(draw, is_flipped=False)
        objects = training_boxes(each.objects_xyxy, pictures, put)
    return Sample(frames, corners.astype(np.float32), chosen.labels[:kept].astype(np.float32), objects)


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
        sample = training_sample(
            data.store,
            each,
            clip=data.clip,
            settings=settings,
            unmatched=unmatched,
            flip_objects=data.flip_objects,
            rng=rng,
        )
        return each, sample

    indices = [index for mine, _ in steps for part in mine for index in part.tolist()]
    samples = read_ahead(read, indices, threads=workers)
    for mine, count in steps:
        yield Step((_batch(list(islice(samples, len(part))), window_of) for part in mine), count)


def _batch(part: Sequence[tuple[KeyframeBoxes, Sample]], window_of: WindowOf | None) -> Batch:
    counts = torch.tensor([len(sample.boxes_xyxy) for _, sample in part])
    clip_index = torch.repeat_interleave(torch.arange(len(part)), counts)
    window = None
    if window_of is not None:
        keyframes = [each.keyframe for each, _ in part]
        video_ids = [keyframe.video_id for keyframe in keyframes]
        timestamps = np.array([keyframe.timestamp for keyframe in keyframes])
        window = window_of(video_ids, timestamps, clip_index)
    objects = [sample.objects_xyxy for _, sample in part if sample.objects_xyxy is not None]
    return Batch(
        labels=torch.from_numpy(np.concatenate([sample.labels for _, sample in part])),
        clip_index=clip_index,
        clips=torch.stack([sample.clip for _, sample in part]),
        boxes_xyxy=torch.from_numpy(np.concatenate([sample.boxes_xyxy for _, sample in part])),
        window=window,
        object_boxes=object_boxes(np.stack(objects)) if objects else None,
    )


def detector_loss(detector: Detector, loss: LossOf = multilabel_loss) -> Callable[[Batch], Tensor]:
    """Return a function that computes the loss of a batch of clips; `loss` gets logits and labels (see `make_loss`)."""

    def loss_of(batch: Batch) -> Tensor:
        assert batch.clips is not None
        assert batch.boxes_xyxy is not None
        logits = detector(batch.clips, batch.boxes_xyxy, batch.clip_index, batch.window, batch.object_boxes)
        return loss(logits, batch.labels)

    return loss_of

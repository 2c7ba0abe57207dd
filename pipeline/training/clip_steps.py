"""Make training batches of clips, read from the frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.randomness import rng_of
from pipeline.base.read_ahead import read_ahead
from pipeline.features.object_boxes import object_boxes
from pipeline.models.context import WindowOf
from pipeline.models.detector import Detector
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.split_tables import Tables
from pipeline.training.assign import assign_boxes
from pipeline.training.batch import Batch
from pipeline.training.losses import LossOf, multilabel_loss
from pipeline.training.settings import Augmentation, Training
from pipeline.training.steps import Step, Stretch, deal_parts
from pipeline.video.clip_indices import clip_indices
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import changed_clip, draw_clip, stack_pixels, training_boxes, training_clip
from pipeline.video.size import clip_sizes
from pipeline.video.store import FrameStore

Dealt = tuple[Sequence[NDArray[np.int64]], int]
"What `deal_parts` yields: the parts of a step of this rank, and their number on all ranks."
Ahead = Callable[[Sequence[Dealt], Callable[[Dealt], Iterable[str]]], Iterable[Dealt]]


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
    as_pixels: bool = False
    "Clips of training are normalised by `Batch.to`, on its device, and not where they are read."


@dataclass(frozen=True)
class Sample:
    """The clip and boxes of one keyframe."""

    clip: Tensor  # [3, T, h, w], normalised; or pixels [T, 3, h, w]
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
    as_pixels: bool = False,
    rng: np.random.Generator,
) -> Sample:
    """Read, augment and label one keyframe; every draw comes from `rng`.

    Annotated boxes and, unless `match_iou` is none, the proposals that match one are trained on; box jitter moves them
    after the matching. With `unmatched`, the other proposals follow without labels: the loss ignores them, but a batch
    norm of the head sees them, as upstream. Boxes of objects go where the clip shows them (see `ClipData` for
    `flip_objects` and `as_pixels`) and are not jittered.
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
    proposals = each.proposals_xyxy[: 0 if settings.match_iou == "none" else None]
    draw = draw_clip(
        rng,
        long_side=clip.long_side,
        shape=clip.shape,
        short_side=changes.short_side,
        crop=None if changes.crop == "none" else changes.crop,
        flip=changes.flip,
        colour=changes.colour,
    )
    pictures = store.read_clip(each.keyframe.video_id, indices)
    frames = changed_clip(pictures, draw) if as_pixels else training_clip(pictures, clip, draw)
    boxes = training_boxes(np.concatenate([each.ground_truth_xyxy, proposals]), pictures, draw)
    corners = boxes.astype(np.float64)
    labels = each.labels.astype(np.float64)
    chosen = assign_boxes(
        corners[truth:],
        corners[:truth],
        labels,
        generator=rng,
        match_iou=1.0 if settings.match_iou == "none" else settings.match_iou,
        cap=changes.max_boxes,
    )
    kept = len(chosen.rows) if unmatched else chosen.positives
    corners = jittered(corners[chosen.rows[:kept]], changes.box_jitter, frames.shape[-1], frames.shape[-2], rng)
    objects = None
    if each.objects_xyxy is not None:
        put = draw if flip_objects else replace(draw, is_flipped=False)
        objects = training_boxes(each.objects_xyxy, pictures, put)
    return Sample(frames, corners.astype(np.float32), chosen.labels[:kept].astype(np.float32), objects)


def jittered(
    boxes_xyxy: NDArray[np.float64],
    jitter: float | tuple[float, float] | tuple[float, float, float, float],
    width: int,
    height: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Move every edge of each box by a random share of the box's side, within the clip.

    Args:
        boxes_xyxy: [n, 4] in pixels.
        jitter: the deviation of a normal share; or the largest share of an even one, [x, y] (`moved_evenly`); or its
            largest shares, [x out, x in, y out, y in] of the box, with AlphAction's sides: these count both edge
            pixels, and the last pixel is the clip's end.
        width: of the clip.
        height: of the clip.
        rng: all randomness; not used if nothing moves.
    """
    if not isinstance(jitter, tuple):
        if not jitter:
            return boxes_xyxy
        sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
        moved: NDArray[np.float64] = boxes_xyxy + rng.normal(0, jitter, boxes_xyxy.shape) * sides
        return moved.clip(0, [width, height, width, height])
    draw = rng.random(boxes_xyxy.shape)
    if len(jitter) == 2:
        return moved_evenly(boxes_xyxy, jitter, width, height, draw)
    return moved_edges(boxes_xyxy, jitter, width, height, draw)


def moved_evenly(
    boxes_xyxy: NDArray[np.float64],
    jitter: tuple[float, float],
    width: float,
    height: float,
    draw: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Move every edge by up to the shares `jitter` [x, y] of the box's sides, within the clip (ACAR-Net).

    `draw` [n, 4] is from 0 (left or up as far as possible) to 1.
    """
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    moved: NDArray[np.float64] = boxes_xyxy + (2 * draw - 1) * np.tile(jitter, 2) * sides
    return moved.clip(0, [width, height, width, height])


def moved_edges(
    boxes_xyxy: NDArray[np.float64],
    jitter: tuple[float, float, float, float],
    width: int,
    height: int,
    draw: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Move every edge as `jittered` says; `draw` [n, 4] is from 0 (left or up as far as possible) to 1."""
    x_out, x_in, y_out, y_in = jitter
    least, most = np.array([-x_out, -y_out, -x_in, -y_in]), np.array([x_in, y_in, x_out, y_out])
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] + 1, 2)
    moved: NDArray[np.float64] = boxes_xyxy + (least + (most - least) * draw) * sides
    return moved.clip(0, [width - 1, height - 1] * 2)


def size_numbers(data: ClipData, settings: Training) -> NDArray[np.int64] | None:
    """Number the sizes of the clips of the train keyframes, so that those of a part have one size.

    None: every clip has the same size, or is a part by itself.
    """
    if settings.augmentation.crop != "none" or settings.bn_batch == 1:
        return None
    numbers = {
        video_id: number
        for number, films in enumerate(sizes_of(data.store, data.train, data.clip, settings.augmentation).values())
        for video_id in films
    }
    found = np.array([numbers[each.keyframe.video_id] for each in data.train], np.int64)
    return found if len(set(numbers.values())) > 1 else None


def sizes_of(
    store: FrameStore, keyframes: Iterable[KeyframeBoxes], clip: ClipInput, augmentation: Augmentation
) -> dict[tuple[int, int], list[str]]:
    """Return the films of each (height, width) of uncropped clips."""
    films = {each.keyframe.video_id for each in keyframes}
    sizes = {each: store.size(each) for each in films}
    return clip_sizes(sizes, augmentation.short_side[0], clip.long_side, clip.shape)


def clip_steps(
    data: ClipData,
    stretch: Stretch,
    settings: Training,
    *,
    unmatched: bool,
    window_of: WindowOf | None,
    workers: int,
    sizes: NDArray[np.int64] | None = None,
    ahead: Ahead | None = None,
) -> Iterator[Step[Batch]]:
    """Yield optimiser steps of one pass over the keyframes, in an order drawn from (seed, pass).

    A sample depends on (seed, pass, keyframe) alone, so workers, ranks or a resumed run do not change it. A rank
    reads only its own parts, one after the other.

    Args:
        data: see `ClipData`.
        stretch: which steps of which pass.
        settings: see `Training`.
        unmatched: see `training_sample`.
        window_of: makes the windows of this pass.
        workers: threads that read.
        sizes: see `size_numbers`.
        ahead: yields the steps, and has the rows of the films of the next ones fetched.
    """
    number = stretch.number
    order = rng_of(settings.seed, "order", number).permutation(len(data.train))
    dealt = deal_parts(order, global_batch=settings.global_batch, bn_batch=settings.bn_batch, sizes=sizes)
    steps = list(dealt)[stretch.first : stretch.last]

    def read(index: int) -> tuple[KeyframeBoxes, Sample]:
        each = data.train[index]
        rng = rng_of(settings.seed, "sample", number, each.keyframe.video_id, each.keyframe.timestamp)
        sample = training_sample(
            data.store,
            each,
            clip=data.clip,
            settings=settings,
            unmatched=unmatched,
            flip_objects=data.flip_objects,
            as_pixels=data.as_pixels,
            rng=rng,
        )
        return each, sample

    indices = [index for mine, _ in steps for part in mine for index in part.tolist()]
    samples = read_ahead(read, indices, threads=workers)

    def films_of(step: Dealt) -> Iterator[str]:
        return (data.train[index].keyframe.video_id for part in step[0] for index in part.tolist())

    for mine, count in steps if ahead is None else ahead(steps, films_of):
        yield Step((_batch(data, index, list(islice(samples, len(index))), window_of) for index in mine), count)


def _batch(
    data: ClipData,
    index: NDArray[np.int64],
    part: Sequence[tuple[KeyframeBoxes, Sample]],
    window_of: WindowOf | None,
) -> Batch:
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
        clips=(stack_pixels if data.as_pixels else torch.stack)([sample.clip for _, sample in part]),
        pixels_of=data.clip if data.as_pixels else None,
        boxes_xyxy=torch.from_numpy(np.concatenate([sample.boxes_xyxy for _, sample in part])),
        window=window,
        keyframes=torch.from_numpy(index),
        object_boxes=object_boxes(np.stack(objects)) if objects else None,
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
        logits = detector(batch.clips, batch.boxes_xyxy, batch.clip_index, batch.window, batch.object_boxes, keep=kept)
        return loss(logits, batch.labels)

    return loss_of

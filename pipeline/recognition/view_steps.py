"""Make training batches of views, read from the frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.randomness import rng_of
from pipeline.base.read_ahead import read_ahead
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.recognition.clip_set import ClipSet
from pipeline.recognition.settings import RecognizerTraining
from pipeline.training.steps import Step, Stretch, deal_parts
from pipeline.video.segments import train_segments
from pipeline.video.views import draw_view, flipped_label, training_view


@dataclass(frozen=True)
class ViewBatch:
    """One view of each of B clips."""

    views: Tensor  # [B, S, 3, H, W] float32, normalised
    labels: Tensor  # [B] int64

    def to(self, device: torch.device) -> "ViewBatch":
        """Copy the batch to another device."""
        return ViewBatch(self.views.to(device, non_blocking=True), self.labels.to(device, non_blocking=True))


def training_sample(
    clips: ClipSet, clip: int, epoch: int, *, spec: RecognizerSpec, settings: RecognizerTraining
) -> tuple[Tensor, int]:
    """Read one clip, and draw and label its view in an epoch (from 0); the draws depend on nothing else.

    Returns:
        The view [S, 3, crop, crop], and the label, which for a mirrored view may be that of another class.
    """
    rng = clips.rng(settings.seed, epoch, clip)
    frames = train_segments(int(clips.frames[clip]), spec.segments, rng, settings.views.sampling)
    draw = draw_view(rng, settings.views)
    view = training_view(clips.pictures(clip, frames), spec.input, draw)
    return view, flipped_label(int(clips.labels[clip]), clips.classes.flips, draw, settings.views.flip)


def view_steps(
    clips: ClipSet,
    labelled: NDArray[np.int64],
    stretch: Stretch,
    *,
    spec: RecognizerSpec,
    settings: RecognizerTraining,
    workers: int,
) -> Iterator[Step[ViewBatch]]:
    """Yield optimiser steps of one pass over the clips, in an order drawn from (seed, pass).

    A sample depends on (seed, pass, clip) alone, so workers, ranks or a resumed run do not change it. A rank reads only
    its own parts, one after the other.

    Args:
        clips: the train split.
        labelled: numbers of the clips that have a label.
        stretch: which steps of which pass.
        spec: what is trained.
        settings: see `RecognizerTraining`.
        workers: threads that read.
    """
    order = labelled[rng_of(settings.seed, "order", stretch.number).permutation(len(labelled))]
    dealt = deal_parts(order, global_batch=settings.global_batch, bn_batch=settings.bn_batch)
    steps = list(dealt)[stretch.first : stretch.last]
    mine = [clip for parts, _ in steps for part in parts for clip in part.tolist()]

    def read(clip: int) -> tuple[Tensor, int]:
        return training_sample(clips, clip, stretch.number, spec=spec, settings=settings)

    samples = read_ahead(read, mine, threads=workers, ahead=max(2 * workers, settings.bn_batch))
    for parts, count in steps:
        yield Step((_batch(list(islice(samples, len(part)))) for part in parts), count)


def _batch(samples: list[tuple[Tensor, int]]) -> ViewBatch:
    return ViewBatch(torch.stack([view for view, _ in samples]), torch.tensor([label for _, label in samples]))

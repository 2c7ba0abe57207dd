"""Score clips: softmax of each view, and the mean over the views of a clip."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.distributed import gather
from pipeline.base.numerics import compute_precision
from pipeline.base.progress import progress
from pipeline.base.randomness import seed_of
from pipeline.base.ranks import share
from pipeline.base.read_ahead import read_ahead
from pipeline.checkpoint.specs import RecognizerSpec
from pipeline.evaluation.settings import ViewsOf
from pipeline.models.recognizer import Recognizer
from pipeline.recognition.clip_set import ClipSet
from pipeline.video.segments import test_segments, twice_segments
from pipeline.video.views import test_views

# Views per forward pass. Libraries round differently for other batch sizes: with one fixed size the scores depend on
# the clips alone.
FORWARD_VIEWS = 8


def score_clips(
    recognizer: Recognizer,
    clips: ClipSet,
    spec: RecognizerSpec,
    *,
    views: ViewsOf,
    device: torch.device,
    compute_dtype: str,
    workers: int,
) -> NDArray[np.float32]:
    """Return the probabilities of all clips, [N, classes], in the order of the set; empty except on rank 0.

    Args:
        recognizer: in evaluation mode, on `device`.
        clips: what is scored.
        spec: of the recognizer.
        views: `efficient`: the centre crop, of the middle of each segment; `accurate`: three crops, each of the middle
            and of the start of each segment.
        device: of the recognizer.
        compute_dtype: see `compute_precision`.
        workers: threads that read.
    """
    groups = _groups(len(clips), 1 if views == "efficient" else 6)

    def read(group: range) -> Tensor:
        return torch.stack([clip_views(clips, clip, spec, views) for clip in group])

    mine = share(groups)
    scored: list[NDArray[np.float32]] = []
    read_groups = read_ahead(read, mine, threads=workers, ahead=min(workers, 4))
    with torch.no_grad():
        for group, of_group in zip(progress(mine, what=f"score {views}", unit="batch"), read_groups, strict=True):
            torch.manual_seed(seed_of("relations", views, group.start))  # of a head that draws them as published
            with compute_precision(device, compute_dtype):
                logits = _logits(recognizer, of_group.flatten(0, 1).to(device))
            scores = logits.float().softmax(dim=1).view(*of_group.shape[:2], -1).mean(dim=1)
            scored.append(scores.cpu().numpy())
    gathered = gather(scored)
    return np.concatenate(gathered) if gathered else np.zeros((0, spec.classes), np.float32)


def clip_views(clips: ClipSet, clip: int, spec: RecognizerSpec, views: ViewsOf) -> Tensor:
    """Read the views of a clip: [V, S, 3, side, side], V 1 (efficient) or 6 (accurate)."""
    frames, count = int(clips.frames[clip]), spec.segments
    if views == "efficient":
        return test_views(
            clips.pictures(clip, test_segments(frames, count)), spec.input, segments=count, crops="centre"
        )
    return test_views(clips.pictures(clip, twice_segments(frames, count)), spec.input, segments=count, crops="three")


def _logits(recognizer: Recognizer, views: Tensor) -> Tensor:
    return torch.cat([recognizer(part) for part in torch.split(views, FORWARD_VIEWS)])


def _groups(clips: int, views: int) -> Sequence[range]:
    """Deal the clips into groups whose views make whole forward passes, but for the last one."""
    size = max(1, FORWARD_VIEWS // views) if FORWARD_VIEWS % views == 0 else 4
    return [range(at, min(at + size, clips)) for at in range(0, clips, size)]

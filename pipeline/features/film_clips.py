"""Run the clips of keyframes through a detector, one film at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.read_ahead import read_ahead
from pipeline.video.clip_indices import clip_indices
from pipeline.video.clip_input import ClipInput
from pipeline.video.clips import normalise, normalises_itself, scaled_clip, send_pixels, stack_pixels
from pipeline.video.store import FrameStore

# Keyframes per forward pass; only a film's last pass is shorter. Libraries round differently for other batch sizes, so
# with one fixed size features and scores depend on the film's requests alone.
FORWARD_KEYFRAMES = 8
Item = TypeVar("Item")


@dataclass(frozen=True)
class ClipRequest:
    """A keyframe of a film, and the boxes to compute features or scores for."""

    time_seconds: float
    boxes_xyxy: NDArray[np.float64]  # [n, 4], normalised


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last one may be shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def read_request(
    store: FrameStore, video_id: str, request: ClipRequest, settings: ClipInput, *, as_pixels: bool = False
) -> tuple[Tensor, Tensor]:
    """Read the normalised clip [3, T, h, w] of a keyframe, and its boxes [n, 4] in pixels of the clip.

    With `as_pixels` the clip is not normalised, uint8 [T, 3, h, w].
    """
    indices = clip_indices(
        request.time_seconds,
        fps=store.fps,
        frames=settings.frames,
        interval=settings.interval,
        total=store.grid_frames(video_id),
        offset_frames=settings.offset_frames,
    )
    frames = store.read_clip(video_id, indices)
    pixels, boxes_xyxy = scaled_clip(
        frames,
        request.boxes_xyxy,
        short_side=settings.short_side,
        long_side=settings.long_side,
        shape=settings.shape,
    )
    return pixels if as_pixels else normalise(pixels, settings.mean, settings.std, channels=0), boxes_xyxy


def stack_clips(clips: Sequence[Tensor], settings: ClipInput, device: torch.device) -> Tensor:
    """Return the clips that `read_request` has read for a device on that device: float32 [B, 3, T, h, w]."""
    if normalises_itself(device):
        return send_pixels(stack_pixels(clips), device, settings.mean, settings.std)
    return torch.stack(list(clips)).to(device)


def run_film(
    forward: Callable[[range, Tensor, Tensor, Tensor], Tensor],
    store: FrameStore,
    video_id: str,
    requests: Sequence[ClipRequest],
    *,
    settings: ClipInput,
    device: torch.device,
    batch: int,
    keyframes: int = FORWARD_KEYFRAMES,
) -> list[NDArray[np.float32]]:
    """Call `forward(places, clips, boxes_xyxy, clip_index)` for the keyframes of one film, batch by batch.

    Args:
        forward: gets the positions of the batch's keyframes in `requests`, their clips [B, 3, T, h, w], all their
            boxes [R, 4] in pixels and the clip of each box [R]; returns one row per box. Called without gradients.
        store: the frame store.
        video_id: the film; all its clips have one size, so a batch is never padded.
        requests: keyframes with at least one box each.
        settings: the clip that the backbone expects.
        device: device of `forward`.
        batch: keyframes read ahead of `forward`.
        keyframes: so many are forwarded at a time; only a film's last forward pass has fewer.

    Returns:
        For each keyframe the rows of its boxes, [n, ...], float32.
    """
    counts = [len(each.boxes_xyxy) for each in requests]
    # All results in one block: small ones that stay between a batch's large, passing ones would break up the heap.
    results: NDArray[np.float32] | None = None
    done, row = 0, 0
    # A GPU is faster than two threads that decode clips; on a CPU other films run beside this one.
    threads = batch if device.type == "cuda" else 2
    on_device = normalises_itself(device)
    read = partial(read_request, store, video_id, settings=settings, as_pixels=on_device)

    def put(group: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        clips, boxes = zip(*group, strict=True)
        return stack_clips(clips, settings, device), torch.cat(boxes).to(device)

    groups = batched(read_ahead(read, requests, threads=threads, ahead=batch), keyframes)
    # A GPU gets the next batch while it computes.
    batches = read_ahead(put, groups, threads=1, ahead=1) if on_device else map(put, groups)
    with torch.no_grad():
        for clips, boxes_xyxy in batches:
            places = range(done, done + len(clips))
            sizes = torch.tensor(counts[done : places.stop])
            clip_index = torch.repeat_interleave(torch.arange(len(clips)), sizes).to(device)
            rows = forward(places, clips, boxes_xyxy, clip_index)
            if results is None:
                results = np.empty((sum(counts), *rows.shape[1:]), np.float32)
            results[row : row + len(rows)] = rows.float().cpu().numpy()
            done, row = places.stop, row + len(rows)
    return [] if results is None else np.split(results, np.cumsum(counts)[:-1])

"""Keyframes scored by a whole detector, from the frames."""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from pipeline.bank.windows.source import WindowOf
from pipeline.base.distributed import gather
from pipeline.base.numerics import compute_precision
from pipeline.base.progress import progress
from pipeline.base.ranks import share
from pipeline.features.film_clips import ClipRequest, run_film
from pipeline.models.detector import Detector
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.keyframe_rows import batch_context
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore


def score_films(
    detector: Detector,
    store: FrameStore,
    keyframes: Sequence[KeyframeBoxes],
    *,
    window_of: WindowOf | None,
    settings: ClipInput,
    device: torch.device,
    compute_dtype: str,
    batch: int,
    scores_of: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> dict[str, list[ScoredKeyframe]]:
    """Scores of detected and of ground-truth boxes, from one pass over the clips.

    Ranks share the films, so that a film's batches are the same on any number of them.

    Args:
        detector: in evaluation mode, on `device`.
        store: where the frames are; keyframes of a film that it has not are left out.
        keyframes: sorted by video_id; their `proposals_xyxy` are the detected boxes to score.
        window_of: see `score_rows`.
        settings: what the backbone sees.
        device: where the detector runs.
        compute_dtype: fp32, tf32 or bf16.
        batch: see `run_film`.
        scores_of: logits [R, columns] to scores [R, classes], e.g. `action_scores` of a kind of labels.

    Returns:
        `detected` and `ground_truth`, in the order of `keyframes`; empty on other ranks than 0.
    """
    scored: list[tuple[list[ScoredKeyframe], list[ScoredKeyframe]]] = []
    stored = set(store.video_ids)
    films = [(video_id, list(each)) for video_id, each in groupby(keyframes, key=lambda each: each.keyframe.video_id)]
    films = [(video_id, film) for video_id, film in films if video_id in stored]
    for video_id, film in progress(share(films), what="score", unit="film"):
        film = [each for each in film if len(each.proposals_xyxy) + len(each.ground_truth_xyxy)]
        requests = [
            ClipRequest(each.keyframe.time_seconds, np.concatenate([each.proposals_xyxy, each.ground_truth_xyxy]))
            for each in film
        ]

        def forward(
            places: range,
            clips: Tensor,
            boxes_xyxy: Tensor,
            clip_index: Tensor,
            film: list[KeyframeBoxes] = film,
        ) -> Tensor:
            context = batch_context([film[i] for i in places], clip_index, window_of, device)
            with compute_precision(device, compute_dtype):
                logits: Tensor = detector(clips, boxes_xyxy, clip_index, context.window, context.window_mask)
            return scores_of(logits.float())

        rows = run_film(forward, store, video_id, requests, settings=settings, device=device, batch=batch)
        detected, annotated = [], []
        for each, scores in zip(film, rows, strict=True):
            split = len(each.proposals_xyxy)
            detected.append(ScoredKeyframe(each.keyframe, each.proposals_xyxy, scores[:split]))
            annotated.append(ScoredKeyframe(each.keyframe, each.ground_truth_xyxy, scores[split:]))
        scored.append((detected, annotated))
    gathered = gather(scored)
    return {
        kind: [keyframe for film in gathered for keyframe in film[place]]
        for place, kind in enumerate(("detected", "ground_truth"))
    }

"""Keyframes scored by a whole detector, from the frames."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from pipeline.datasets.keyframes import KeyframeBoxes
from pipeline.inference.clips import ClipRequest, ClipSettings, run_film
from pipeline.inference.detections import ScoredKeyframe
from pipeline.inference.rows import batch_context
from pipeline.inference.windows import WindowOf
from pipeline.models.detector import Detector
from pipeline.numerics import compute_precision
from pipeline.progress import progress
from pipeline.video.store import FrameStore


def score_films(
    detector: Detector,
    store: FrameStore,
    keyframes: Sequence[KeyframeBoxes],
    *,
    window_of: WindowOf | None,
    settings: ClipSettings,
    device: torch.device,
    compute_dtype: str,
    batch: int,
) -> dict[str, list[ScoredKeyframe]]:
    """Scores (sigmoid) of detected and of ground-truth boxes, from one pass over the clips.

    Args:
        detector: in evaluation mode, on `device`.
        store: where the frames are; keyframes of a film that it has not are left out.
        keyframes: sorted by video_id; their `proposals_xyxy` are the detected boxes to score.
        window_of: see `score_rows`.
        settings: what the backbone sees.
        device: where the detector runs.
        compute_dtype: fp32, tf32 or bf16.
        batch: keyframes per forward pass.

    Returns:
        `detected` and `ground_truth`, in the order of `keyframes`.
    """
    scored: dict[str, list[ScoredKeyframe]] = {"detected": [], "ground_truth": []}
    films = [(video_id, list(each)) for video_id, each in groupby(keyframes, key=lambda each: each.keyframe.video_id)]
    stored = set(store.video_ids)
    for video_id, film in progress(films, what="score", unit="film"):
        if video_id not in stored:
            continue
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
            return logits.float().sigmoid()

        rows = run_film(forward, store, video_id, requests, settings=settings, device=device, batch=batch)
        for each, scores in zip(film, rows, strict=True):
            split = len(each.proposals_xyxy)
            scored["detected"].append(ScoredKeyframe(each.keyframe, each.proposals_xyxy, scores[:split]))
            scored["ground_truth"].append(ScoredKeyframe(each.keyframe, each.ground_truth_xyxy, scores[split:]))
    return scored

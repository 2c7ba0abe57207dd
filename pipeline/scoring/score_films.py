"""Score keyframes with a whole detector, from the frames."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from torch import Tensor

from pipeline.base.distributed import gather
from pipeline.base.numerics import compute_precision
from pipeline.base.progress import progress
from pipeline.base.ranks import share
from pipeline.features.film_clips import ClipRequest, run_film
from pipeline.models.detector import Detector
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.split_tables import KnownFilms
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore


def films_of_store(store: FrameStore) -> KnownFilms:
    """Return the films of a frame store."""
    return KnownFilms(store.video_ids, duration_seconds=store.duration_seconds)


def score_films(
    detector: Detector,
    store: FrameStore,
    keyframes: Sequence[KeyframeBoxes],
    scoring: ScoreSettings,
    *,
    clip: ClipInput,
    batch: int,
) -> dict[str, list[ScoredKeyframe]]:
    """Score detected and ground-truth boxes in one pass over the clips.

    Ranks share whole films, so the batches of a film do not depend on the number of ranks.

    Args:
        detector: in evaluation mode, on the settings' device.
        store: the frame store; keyframes of films that it lacks are left out.
        keyframes: sorted by video_id; their `proposals_xyxy` are the detected boxes to score.
        scoring: see `ScoreSettings`.
        clip: the clip that the backbone expects.
        batch: see `run_film`.

    Returns:
        `detected` and `ground_truth`, in the order of `keyframes`; empty on ranks other than 0.
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
            window = scoring.windows([film[i] for i in places], clip_index)
            with compute_precision(scoring.device, scoring.compute_dtype):
                logits: Tensor = detector(clips, boxes_xyxy, clip_index, window)
            return scoring.scores_of(logits.float())

        rows = run_film(forward, store, video_id, requests, settings=clip, device=scoring.device, batch=batch)
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

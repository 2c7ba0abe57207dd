"""Score keyframes with a whole detector, from the frames."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.base.distributed import gather
from pipeline.base.numerics import compute_precision
from pipeline.base.progress import progress
from pipeline.base.ranks import share
from pipeline.features.film_clips import FORWARD_KEYFRAMES, ClipRequest, run_film
from pipeline.features.object_boxes import object_boxes
from pipeline.models.context import ObjectBoxes
from pipeline.models.detector import Detector
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import KeyframeBoxes
from pipeline.tables.split_tables import KnownFilms
from pipeline.video.clip_input import ClipInput
from pipeline.video.store import FrameStore

DETECTED, ANNOTATED, OBJECT = range(3)


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
    at_a_time: int = FORWARD_KEYFRAMES,
) -> dict[str, list[ScoredKeyframe]]:
    """Score detected and ground-truth boxes in one pass over the clips.

    The head gets the two apart, since heads exist that let the persons of a clip see each other. And clips with a
    detected box are batched before those with annotated ones alone. So no annotation changes a score of a detected box.
    Ranks share whole films, so the batches of a film do not depend on the number of ranks.

    Args:
        detector: in evaluation mode, on the settings' device.
        store: the frame store; keyframes of films that it lacks are left out.
        keyframes: sorted by video_id; their `proposals_xyxy` are the detected boxes to score.
        scoring: see `ScoreSettings`.
        clip: the clip that the backbone expects.
        batch: see `run_film`.
        at_a_time: keyframes of one forward pass.

    Returns:
        `detected` and `ground_truth`, in the order of `keyframes`; empty on ranks other than 0.
    """
    stored = set(store.video_ids)
    films = [(video_id, list(each)) for video_id, each in groupby(keyframes, key=lambda each: each.keyframe.video_id)]
    films = [(video_id, film) for video_id, film in films if video_id in stored]
    scored: list[tuple[list[ScoredKeyframe], list[ScoredKeyframe]]] = []
    for video_id, film in progress(share(films), what="score", unit="film"):
        film = [each for each in film if len(each.proposals_xyxy) + len(each.ground_truth_xyxy)]
        film.sort(key=lambda each: not len(each.proposals_xyxy))
        requests = [ClipRequest(each.keyframe.time_seconds, _boxes(each)) for each in film]
        forward = partial(_forward, detector, scoring, film)
        rows = run_film(
            forward, store, video_id, requests, settings=clip, device=scoring.device, batch=batch, keyframes=at_a_time
        )
        detected, annotated = [], []
        for each, scores in zip(film, rows, strict=True):
            split, persons = len(each.proposals_xyxy), len(each.proposals_xyxy) + len(each.ground_truth_xyxy)
            detected.append(ScoredKeyframe(each.keyframe, each.proposals_xyxy, scores[:split]))
            annotated.append(ScoredKeyframe(each.keyframe, each.ground_truth_xyxy, scores[split:persons]))
        scored.append((_in_time(detected), _in_time(annotated)))
    gathered = gather(scored)
    return {
        kind: [keyframe for film in gathered for keyframe in film[place]]
        for place, kind in enumerate(("detected", "ground_truth"))
    }


def _forward(
    detector: Detector,
    scoring: ScoreSettings,
    film: Sequence[KeyframeBoxes],
    places: range,
    clips: Tensor,
    boxes_xyxy: Tensor,
    clip_index: Tensor,
) -> Tensor:
    """Score the persons among the boxes of some keyframes; objects get rows of zeros. For `run_film`."""
    keyframes = [film[place] for place in places]
    kinds = _kinds(keyframes).to(boxes_xyxy.device)
    objects = _object_boxes(keyframes, boxes_xyxy[kinds == OBJECT])
    with compute_precision(scoring.device, scoring.compute_dtype):
        maps = detector.maps(clips)
    rows: Tensor | None = None
    for kind in (DETECTED, ANNOTATED):
        mine = kinds == kind
        if not mine.any():
            continue
        window = scoring.windows(keyframes, clip_index[mine])
        with compute_precision(scoring.device, scoring.compute_dtype):
            logits: Tensor = detector(clips, boxes_xyxy[mine], clip_index[mine], window, objects, maps=maps)
        scores = scoring.scores(logits)
        rows = scores.new_zeros(len(boxes_xyxy), scores.shape[1]) if rows is None else rows
        rows[mine] = scores
    assert rows is not None  # every request has a person
    return rows


def _in_time(scored: list[ScoredKeyframe]) -> list[ScoredKeyframe]:
    return sorted(scored, key=lambda each: each.keyframe.timestamp)


def _boxes(each: KeyframeBoxes) -> NDArray[np.float64]:
    """Return the boxes of a keyframe's persons, and then of its objects."""
    return np.concatenate([each.proposals_xyxy, each.ground_truth_xyxy, _objects(each)])


def _objects(each: KeyframeBoxes) -> NDArray[np.float64]:
    """Return the boxes of the keyframe's objects, without empty places."""
    if each.objects_xyxy is None:
        return np.empty((0, 4))
    return each.objects_xyxy[~np.isnan(each.objects_xyxy[:, 0])]


def _kinds(keyframes: Sequence[KeyframeBoxes]) -> Tensor:
    """Return the kind of each requested box, [R], in the order of `_boxes`."""
    counts = [
        len(boxes) for each in keyframes for boxes in (each.proposals_xyxy, each.ground_truth_xyxy, _objects(each))
    ]
    return torch.from_numpy(np.repeat([DETECTED, ANNOTATED, OBJECT] * len(keyframes), counts))


def _object_boxes(keyframes: Sequence[KeyframeBoxes], boxes_xyxy: Tensor) -> ObjectBoxes | None:
    """Put the boxes of the objects [N, 4], in pixels, into their keyframes' places; None if no objects are read."""
    places = [each.objects_xyxy for each in keyframes if each.objects_xyxy is not None]
    if not places:
        return None
    known = np.stack(places).astype(np.float32)
    known[~np.isnan(known[..., 0])] = boxes_xyxy.cpu().numpy()
    return object_boxes(known).to(boxes_xyxy.device)

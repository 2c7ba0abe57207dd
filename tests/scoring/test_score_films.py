"""How `score_films` makes scores of logits and hands them out; the clips are not read."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.models.scores import action_scores
from pipeline.models.settings import Labels
from pipeline.scoring import score_films
from pipeline.scoring.settings import ScoreSettings
from pipeline.tables.keyframes import Keyframe, KeyframeBoxes

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, -1.0, 3.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, LOGITS.sigmoid()),
        ({"scores_of": partial(action_scores, kind=Labels("single", background=True))}, LOGITS.softmax(1)[:, 1:]),
    ],
)
def test_scores_are_what_the_labels_make_of_logits(monkeypatch, options: dict, expected: torch.Tensor) -> None:
    boxes = np.array([[0.1, 0.1, 0.4, 0.8], [0.5, 0.1, 0.9, 0.9], [0.2, 0.3, 0.6, 0.7]])
    keyframe = KeyframeBoxes(Keyframe("a", 900, 0), boxes[2:], np.ones((1, 3), bool), boxes[:2], np.ones(2))

    def run_film(forward, store, video_id, requests, **_):
        return [forward(range(1), torch.zeros(1), torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)).numpy()]

    monkeypatch.setattr(score_films, "run_film", run_film)
    detector: Any = lambda *_: LOGITS.double()  # noqa: E731
    store: Any = SimpleNamespace(video_ids=["a"])
    clip: Any = None
    scored = score_films.score_films(
        detector, store, [keyframe], ScoreSettings(torch.device("cpu"), "fp32", **options), clip=clip, batch=1
    )
    np.testing.assert_allclose(scored["detected"][0].scores, expected[:2], atol=1e-6)
    np.testing.assert_allclose(scored["ground_truth"][0].scores, expected[2:], atol=1e-6)
    assert scored["ground_truth"][0].boxes_xyxy.tolist() == boxes[2:].tolist()


def test_objects_reach_the_detector_in_their_places_and_get_no_score(monkeypatch) -> None:
    """Two keyframes with two persons and one: the first has one object, the second two."""
    boxes = np.array([[0.1, 0.1, 0.4, 0.8], [0.5, 0.1, 0.9, 0.9], [0.2, 0.3, 0.6, 0.7]])
    things = np.array([[[0, 0, 0.5, 0.5], [np.nan] * 4], [[0, 0, 0.25, 1], [0, 0, 1, 0.25]]])
    labels = np.ones((1, 3), bool)
    keyframes = [
        KeyframeBoxes(Keyframe("a", 900, 0), boxes[:1], labels, boxes[1:2], np.ones(1), things[0]),
        KeyframeBoxes(Keyframe("a", 901, 1), boxes[2:], labels, boxes[:0], np.ones(0), things[1]),
    ]
    told: dict[str, Any] = {}

    def run_film(forward, store, video_id, requests, **_):
        asked = [torch.from_numpy(each.boxes_xyxy) * 100 for each in requests]
        counts = [len(each) for each in asked]
        index = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        rows = forward(range(2), torch.zeros(2), torch.cat(asked).float(), index)
        return np.split(rows.numpy(), np.cumsum(counts)[:-1])

    def detector(clips, boxes_xyxy, clip_index, window, objects) -> torch.Tensor:
        told.update(persons=boxes_xyxy, clip_index=clip_index, objects=objects)
        return LOGITS

    monkeypatch.setattr(score_films, "run_film", run_film)
    store: Any = SimpleNamespace(video_ids=["a"])
    model: Any = detector
    clip: Any = None
    scored = score_films.score_films(
        model, store, keyframes, ScoreSettings(torch.device("cpu"), "fp32"), clip=clip, batch=1
    )
    assert told["clip_index"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(told["persons"], boxes[[1, 0, 2]] * 100, rtol=1e-6)
    assert told["objects"].mask.tolist() == [[True, False], [True, True]]
    assert told["objects"].boxes_xyxy.tolist() == [[[0, 0, 50, 50], [0] * 4], [[0, 0, 25, 100], [0, 0, 100, 25]]]
    expected = LOGITS.sigmoid().numpy()
    found = [each.scores for kind in ("detected", "ground_truth") for each in scored[kind]]
    np.testing.assert_allclose(np.concatenate(found), expected[[0, 1, 2]], atol=1e-6)
    assert [len(each) for each in found] == [1, 0, 1, 1]

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

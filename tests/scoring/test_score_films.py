"""How `score_films` makes scores of logits and hands them out; the clips are not read."""

from collections.abc import Callable
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


class FakeDetector:
    """Gives the logits that a function of (boxes, clip index, window, objects) makes; its maps are numbered."""

    def __init__(self, logits: Callable[..., torch.Tensor]) -> None:
        self.logits, self.passes = logits, 0

    def maps(self, clips: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return torch.full((1,), self.passes)

    def __call__(self, clips, boxes_xyxy, clip_index, window, objects, *, maps) -> torch.Tensor:
        assert maps.item() == self.passes, "the backbone has seen these clips once"
        return self.logits(boxes_xyxy, clip_index, window, objects)


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
    detector: Any = FakeDetector(
        lambda boxes, *_: LOGITS[: len(boxes)].double() if len(boxes) > 1 else LOGITS[2:].double()
    )
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
    told: list[dict[str, Any]] = []

    def run_film(forward, store, video_id, requests, **_):
        asked = [torch.from_numpy(each.boxes_xyxy) * 100 for each in requests]
        counts = [len(each) for each in asked]
        index = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        rows = forward(range(2), torch.zeros(2), torch.cat(asked).float(), index)
        return np.split(rows.numpy(), np.cumsum(counts)[:-1])

    def logits(boxes_xyxy, clip_index, window, objects) -> torch.Tensor:
        told.append({"persons": boxes_xyxy, "clip_index": clip_index.tolist(), "objects": objects})
        return LOGITS[:1] if len(boxes_xyxy) == 1 else LOGITS[1:]

    monkeypatch.setattr(score_films, "run_film", run_film)
    store: Any = SimpleNamespace(video_ids=["a"])
    model: Any = FakeDetector(logits)
    clip: Any = None
    scored = score_films.score_films(
        model, store, keyframes, ScoreSettings(torch.device("cpu"), "fp32"), clip=clip, batch=1
    )
    assert [each["clip_index"] for each in told] == [[0], [0, 1]], "detected persons and annotated ones apart"
    np.testing.assert_allclose(np.concatenate([each["persons"] for each in told]), boxes[[1, 0, 2]] * 100, rtol=1e-6)
    for each in told:
        assert each["objects"].mask.tolist() == [[True, False], [True, True]]
        assert each["objects"].boxes_xyxy.tolist() == [
            [[0, 0, 50, 50], [0] * 4], [[0, 0, 25, 100], [0, 0, 100, 25]],
        ]  # fmt: skip
    expected = LOGITS.sigmoid().numpy()
    found = [each.scores for kind in ("detected", "ground_truth") for each in scored[kind]]
    np.testing.assert_allclose(np.concatenate(found), expected[[0, 1, 2]], atol=1e-6)
    assert [len(each) for each in found] == [1, 0, 1, 1]


def test_no_annotation_changes_a_score_of_a_detected_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips with annotated persons alone come after the others; persons do not see those of the other kind."""
    boxes = np.array([[0.1, 0.1, 0.4, 0.8], [0.5, 0.1, 0.9, 0.9]])
    none, labels = boxes[:0], np.ones((1, 3), bool)
    asked: list[list[float]] = []

    def run_film(forward, store, video_id, requests, **_):
        asked.append([each.time_seconds for each in requests])
        counts = [len(each.boxes_xyxy) for each in requests]
        index = torch.repeat_interleave(torch.arange(len(requests)), torch.tensor(counts))
        rows = torch.from_numpy(np.concatenate([each.boxes_xyxy for each in requests])).float()
        return np.split(forward(range(len(requests)), torch.zeros(1), rows, index).numpy(), np.cumsum(counts)[:-1])

    monkeypatch.setattr(score_films, "run_film", run_film)
    model: Any = FakeDetector(lambda boxes, *_: torch.full((len(boxes), 3), float(boxes.sum())))
    found = []
    for annotated in (True, False):
        truth, marks = (boxes[1:], labels) if annotated else (none, labels[:0])
        keyframes = [
            KeyframeBoxes(Keyframe("a", 900, 0), truth, marks, none, np.ones(0)),
            KeyframeBoxes(Keyframe("a", 901, 1), truth, marks, boxes[:1], np.ones(1)),
        ]
        store: Any = SimpleNamespace(video_ids=["a"])
        clip: Any = None
        scored = score_films.score_films(
            model, store, keyframes, ScoreSettings(torch.device("cpu"), "fp32"), clip=clip, batch=1
        )
        found.append([each.scores.tolist() for each in scored["detected"] if len(each.scores)])
        times = [each.keyframe.timestamp for each in scored["ground_truth"]]
        assert times == ([900, 901] if annotated else [901]), "the results are in order of time"
    assert found[0] == found[1]
    assert asked == [[1, 0], [1]]

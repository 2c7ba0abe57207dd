import json

import numpy as np
import pyarrow as pa

from pipeline.predict.typed_results import Action, json_line, shown_actions, typed_seconds
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.tables.keyframes import Keyframe
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOXES

LABELS = [Label(1, "stand", "pose"), Label(2, "wave", "pose"), Label(3, "fall", "pose")]
SCORES = np.array([[0.5, 0.9, 0.1], [0.25, 0.25, 0.2]], np.float32)
BOX = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.75, 0.9]])
ROW = {"video_id": "a", "timestamp": 902.0, "time_seconds": 2.5, "source": "x", "label": None}
PERSONS = pa.Table.from_pylist(
    [
        {**ROW, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)), "score": score, "track_id": track}
        for box, score, track in zip(BOX.tolist(), (0.9, 0.8), (4, None), strict=True)
    ],
    BOXES,
)


def test_actions_reach_the_threshold_of_their_class_and_the_best_comes_first() -> None:
    shown = shown_actions(SCORES[0], LABELS, {1: 0.5, 2: 0.6, 3: 0.1})
    assert [each.name for each in shown] == ["wave", "stand", "fall"]
    assert shown[1] == Action(1, "stand", 0.5)
    assert shown_actions(SCORES[1], LABELS, {1: 0.25, 2: 0.25}) == (Action(1, "stand", 0.25), Action(2, "wave", 0.25))


def test_a_second_has_its_persons() -> None:
    scored = [ScoredKeyframe(Keyframe("a", 902.0, 2.5), BOX, SCORES)]
    (second,) = typed_seconds(scored, PERSONS, LABELS, dict.fromkeys((1, 2, 3), 0.4))
    one, other = second.persons
    assert (second.video_id, second.timestamp, second.time_seconds) == ("a", 902.0, 2.5)
    assert (one.box_xyxy, one.score, one.track_id) == ((0.1, 0.2, 0.3, 0.4), 0.9, 4)
    assert (other.track_id, other.actions) == (None, ())
    assert other.scores.tolist() == SCORES[1].tolist()
    line = json_line(second)
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["persons"][0] == {
        "x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4, "score": 0.9, "track_id": 4,
        "actions": [
            {"id": 2, "name": "wave", "score": float(SCORES[0, 1])}, {"id": 1, "name": "stand", "score": 0.5},
        ],
    }  # fmt: skip
    assert told["time_seconds"] == 2.5

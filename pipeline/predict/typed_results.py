"""What a prediction gives in Python, and as lines of JSON: seconds, their persons, and the persons' actions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base.files import json_text
from pipeline.scoring.detections import ScoredKeyframe
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import BOX_COLUMNS


@dataclass(frozen=True)
class Action:
    """An action of a person, whose score reaches the threshold of its class."""

    id: int
    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Person:
    """A person at one time."""

    box_xyxy: tuple[float, float, float, float]
    "Normalised to [0, 1] of the frame as displayed."
    score: float
    "Of the box."
    track_id: int | None
    "The same number for the same person of a film; None if the box is in no track."
    actions: tuple[Action, ...]
    "The best first."
    scores: NDArray[np.float32]
    "Of all classes, [classes]; column c is action id c + 1."


@dataclass(frozen=True, eq=False)
class Second:
    """One scored time of a film."""

    video_id: str
    timestamp: float
    "The label of the time; seconds from the film's start unless the film has labels of its own."
    time_seconds: float
    persons: tuple[Person, ...]


def typed_seconds(
    scored: Sequence[ScoredKeyframe], persons: pa.Table, labels: Sequence[Label], thresholds: Mapping[int, float]
) -> Iterator[Second]:
    """Yield every scored time, in order.

    Args:
        scored: the scores.
        persons: BOXES of their boxes, in the same order.
        labels: the classes.
        thresholds: by action id; a class without one shows nothing.
    """
    score, track = persons["score"].to_pylist(), persons["track_id"].to_pylist()
    at = 0
    for each in scored:
        found = []
        for box, scores in zip(each.boxes_xyxy, each.scores, strict=True):
            actions = shown_actions(scores, labels, thresholds)
            x1, y1, x2, y2 = box.tolist()
            found.append(Person((x1, y1, x2, y2), score[at], track[at], actions, scores))
            at += 1
        keyframe = each.keyframe
        yield Second(keyframe.video_id, keyframe.timestamp, keyframe.time_seconds, tuple(found))


def shown_actions(
    scores: NDArray[np.float32], labels: Sequence[Label], thresholds: Mapping[int, float]
) -> tuple[Action, ...]:
    """Return the actions of a person whose scores [classes] reach their thresholds, the best first."""
    actions = [
        Action(label.id, label.name, float(scores[label.id - 1]))
        for label in labels
        if label.id in thresholds and float(scores[label.id - 1]) >= thresholds[label.id]
    ]
    return tuple(sorted(actions, key=lambda each: (-each.score, each.id)))


def json_line(second: Second) -> str:
    """Return a second as one line of JSON, without the scores of actions below their thresholds."""
    persons: list[dict[str, Any]] = [
        {
            **dict(zip(BOX_COLUMNS, each.box_xyxy, strict=True)),
            "score": each.score,
            "track_id": each.track_id,
            "actions": [asdict(action) for action in each.actions],
        }
        for each in second.persons
    ]
    known = {"video_id": second.video_id, "timestamp": second.timestamp, "time_seconds": second.time_seconds}
    return json_text({**known, "persons": persons}, indent=None)

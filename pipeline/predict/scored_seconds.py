"""Bring the tables of a prediction together: for each second of a film its persons, and their scores of all classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.predict.predicted import Predicted
from pipeline.tables.ordering import group_starts, ranked, sort_table
from pipeline.tables.schemas import BOX_COLUMNS

# The boxes of detections may have passed through float32 on their way, those of persons not.
SAME_BOX = 1e-6


@dataclass(frozen=True)
class ScoredSecond:
    """The persons of one second."""

    video_id: str
    timestamp: float
    time_seconds: float
    boxes_xyxy: NDArray[np.float64]
    "[n, 4], as fractions of the frame."
    tracks: list[int | None]
    "The track of each person; None where it has none."
    scores: NDArray[np.float64]
    "[n, classes], in the order of the labels; 0 where the prediction has no row."


def scored_seconds(predicted: Predicted) -> list[ScoredSecond]:
    """Return the seconds with at least one person, sorted by film and timestamp.

    Scores of classes that have no label are left out.

    Raises:
        InputError: a detection's box is none of its second's persons.
    """
    columns = {label.id: place for place, label in enumerate(predicted.labels)}
    by_key = dict(_groups(predicted.detections))
    seconds = []
    for key, rows in _groups(predicted.persons):
        boxes = _boxes(rows)
        scores = np.zeros((len(boxes), len(columns)))
        if (found := by_key.pop(key, None)) is not None:
            _fill(scores, boxes, found, columns)
        time = rows["time_seconds"][0].as_py()
        seconds.append(ScoredSecond(*key, time, boxes, rows["track_id"].to_pylist(), scores))
    if by_key:
        raise _without_person(next(iter(by_key.values())))
    return seconds


def threshold_array(predicted: Predicted) -> NDArray[np.float64]:
    """Return the threshold of each class [classes], in the order of the labels; infinite where model.json has none.

    Raises:
        InputError: model.json has no thresholds, or one that is no score.
    """
    told = predicted.model.get("thresholds")
    if not isinstance(told, dict):
        raise InputError("model.json: has no thresholds, expected a score for each action id; predict again")
    found = []
    for label in predicted.labels:
        value = told.get(str(label.id), np.inf)
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value <= 1 or value == np.inf):
            raise InputError(
                f"model.json: the threshold of action {label.id} ({label.name}) is {value}, expected a score, 0 to 1"
            )
        found.append(float(value))
    return np.array(found)


def _groups(table: pa.Table) -> Iterator[tuple[tuple[str, float], pa.Table]]:
    """Yield the rows of each film and timestamp, in order."""
    table = sort_table(table, ["video_id", "timestamp"]).combine_chunks()
    starts = np.flatnonzero(group_starts([ranked(table["video_id"])[1], table["timestamp"].to_numpy()]))
    for start, end in zip(starts, [*starts[1:], len(table)], strict=len(starts) > 0):
        rows = table.slice(start, end - start)
        yield (rows["video_id"][0].as_py(), rows["timestamp"][0].as_py()), rows


def _boxes(rows: pa.Table) -> NDArray[np.float64]:
    return np.column_stack([rows[name].to_numpy() for name in BOX_COLUMNS])


def _fill(scores: NDArray[np.float64], boxes: NDArray[np.float64], found: pa.Table, columns: dict[int, int]) -> None:
    """Write the scores of detections [m] into `scores` [n, classes]; persons with equal boxes get the same scores."""
    same = np.abs(_boxes(found)[:, None] - boxes[None]).max(axis=2) <= SAME_BOX  # [m, n]
    if not same.any(axis=1).all():
        raise _without_person(found)
    places = np.array([columns.get(action, -1) for action in found["action_id"].to_pylist()])
    row, person = np.nonzero(same & (places >= 0)[:, None])
    np.maximum.at(scores, (person, places[row]), found["score"].to_numpy()[row])


def _without_person(rows: pa.Table) -> InputError:
    return InputError(
        f"detections.parquet: video {rows['video_id'][0].as_py()}, timestamp {rows['timestamp'][0].as_py():g}: a box "
        "that persons.parquet does not have; predict again"
    )

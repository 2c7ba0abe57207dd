"""What `predict` finds in films, as a folder of tables: the form that every further output is made from.

detections.parquet   a row for each action of each person (DETECTIONS), as `evaluate` writes
persons.parquet      a row for each box that was scored (BOXES), with its score and track id
videos.parquet       the films (VIDEOS)
labels.json          the classes
model.json           which model, with which settings and thresholds
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base.checksums import read_sealed_json, write_sealed_json
from pipeline.base.errors import InputError
from pipeline.tables.label_map import Label, read_labels, write_labels
from pipeline.tables.schemas import BOXES, DETECTIONS, VIDEOS, read_table, write_table
from pipeline.tables.table_parts import write_parts

OUT = ("detections.parquet", "persons.parquet", "videos.parquet", "labels.json", "model.json")


@dataclass(frozen=True)
class Predicted:
    """The result of `predict` for some films."""

    detections: pa.Table
    "DETECTIONS, sorted by video_id, timestamp, box and action_id."
    persons: pa.Table
    "BOXES, with track_id."
    videos: pa.Table
    "VIDEOS; `path` is where the film was when it was read."
    labels: Sequence[Label]
    model: dict[str, Any]
    "Digest of the weights, head, settings; under `thresholds` the score of each action id from which it is shown."

    def write(self, folder: Path, detections: Iterable[pa.Table] | None = None) -> int:
        """Write the files of `OUT` into a folder that is there, and return the number of detections.

        Args:
            folder: the folder.
            detections: the detections, where they come in parts; None takes the table.
        """
        parts = [self.detections] if detections is None else detections
        count = write_parts(parts, folder / "detections.parquet", DETECTIONS)
        write_table(self.persons, folder / "persons.parquet", BOXES)
        write_table(self.videos, folder / "videos.parquet", VIDEOS)
        write_labels(folder / "labels.json", self.labels)
        write_sealed_json(folder / "model.json", self.model)
        return count


def read_predicted(folder: Path) -> Predicted:
    """Read what `Predicted.write` wrote.

    Raises:
        InputError: a file is absent, or of another form.
        DamagedError: its values are not those that were written.
    """
    if not (folder / OUT[0]).exists():
        raise InputError(f"{folder}: is not a folder that `actionbank predict --out` wrote: it has no {OUT[0]}")
    return Predicted(
        detections=read_table(folder / "detections.parquet", DETECTIONS),
        persons=read_table(folder / "persons.parquet", BOXES),
        videos=read_table(folder / "videos.parquet", VIDEOS),
        labels=read_labels(folder / "labels.json"),
        model=read_sealed_json(folder / "model.json"),
    )

"""Select the objects of each film that go into a bank: the best of every second at which boxes were searched."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.requests import FilmBoxes, Floats, rows_by_video
from pipeline.tables.ordering import ranks
from pipeline.tables.schemas import BOX_COLUMNS


def with_objects(films: Sequence[FilmBoxes], boxes: pa.Table, best: int) -> list[FilmBoxes]:
    """Return the films with their objects, sorted by timestamp, score descending and box.

    No annotation takes part. Without a row with a label, or with `best` 0, no film has objects.

    Args:
        films: see `films_of_split`.
        boxes: BOXES; rows with a label are objects.
        best: number of objects of each second; 0 for none.
    """
    labelled = boxes.filter(pc.is_valid(boxes["label"]))
    if not best or not len(labelled):
        return list(films)
    rows = rows_by_video(labelled, ["timestamp", *BOX_COLUMNS, "score"])
    return [
        replace(film, objects=best_rows(rows.get(film.video_id, np.empty((0, 6))), film.seconds_seen, best))
        for film in films
    ]


def best_rows(rows: Floats, seen: Floats, best: int) -> Floats:
    """Select the `best` rows [n, 6] (timestamp, xyxy, score) of each second seen, by score and then by box."""
    rows = rows[np.isin(rows[:, 0], seen)]
    rows = rows[np.lexsort((*rows[:, 4:0:-1].T, -rows[:, 5], rows[:, 0]))]
    kept: Floats = rows[ranks(rows[:, 0]) < best]
    return kept

"""Write films as AVA CSV, with the list of films that says where their timestamps begin.

Rows are `video_id,timestamp,x1,y1,x2,y2,action_id,person_id`, with the digits that read back to the same value. A
second whose persons do nothing that is shown is a row of two columns.
"""

import csv
import io
from collections.abc import Sequence

from pipeline.evaluation.ava_csv import timestamp_text
from pipeline.predict.marks import MarkedFilm, first_timestamp


def ava_text(films: Sequence[MarkedFilm]) -> str:
    """Return the rows of all films."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for film in films:
        idle = {mark.timestamp for mark in film.marks} - {mark.timestamp for mark in film.marks if mark.actions}
        for mark in film.marks:
            key = film.video_id, timestamp_text(mark.timestamp)
            for action in mark.actions:
                rows.writerow([*key, *map(repr, mark.box), action, mark.person])
            if mark.timestamp in idle:
                idle.remove(mark.timestamp)
                rows.writerow(key)
    return text.getvalue()


def ava_videos_text(films: Sequence[MarkedFilm]) -> str:
    """Return `videos.csv`: the split of each film, to be filled in, and where it begins.

    Raises:
        InputError: see `first_timestamp`.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video_id", "split", "first_timestamp", "offset_seconds"])
    for film in films:
        first, offset = first_timestamp(film)
        rows.writerow([film.video_id, "", first, f"{offset:g}"])
    return text.getvalue()

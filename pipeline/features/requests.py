"""Select the boxes of a film that go into a bank: those at the seconds of a regular grid, and the annotated ones."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.tables.film_ends import FilmMoment, is_beyond, say_beyond
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.select_boxes import BoxRule, passing, whole_frames
from pipeline.tables.timelines import films_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FilmBoxes:
    """The boxes of one film; rows are sorted by timestamp."""

    video_id: str
    shift_seconds: float  # time_seconds = timestamp + shift_seconds
    duration_seconds: float  # no box is later than this
    seconds_seen: Floats  # timestamps at which boxes were searched
    detected_timestamp: Floats  # [n]
    detected_xyxy: Floats  # [n, 4]
    detected_score: Floats  # [n]
    annotated_timestamp: Floats | None  # [m]; None in a split without annotations
    annotated_xyxy: Floats | None  # [m, 4], distinct boxes
    detected_track: NDArray[np.int64] | None = None  # [n], -1 where a box is in no track; None without tracks
    objects: Floats | None = None  # [k, 6]: timestamp, xyxy, score; None if no objects are stored


def films_of_split(
    split: str,
    *,
    timelines: pa.Table,
    videos: pa.Table,
    boxes: pa.Table,
    annotations: pa.Table,
    keyframes: pa.Table,
    rule: BoxRule,
    seconds: str,
) -> list[FilmBoxes]:
    """Select the boxes of every film of a split that has frames, sorted by video_id; without boxes beyond a film's end.

    If train and val share a film, both get all its rows: the keyframe of a row decides its split.

    Args:
        split: train, val or test.
        timelines: TIMELINES.
        videos: VIDEOS.
        boxes: BOXES; rows with a label (objects) are left out.
        annotations: ANNOTATIONS. Only `ground_truth` rows come from it (and the seconds, if `seconds` is
            `annotated`), so no label or annotated box can change a detected row.
        keyframes: KEYFRAMES.
        rule: selects the detected boxes of each second.
        seconds: `grid` takes every second of the film and every other time that has boxes; `annotated` takes only
            keyframes that the annotations name.
    """
    timelines = films_of(timelines, split).sort_by("video_id")
    durations = dict(zip(videos["video_id"].to_pylist(), videos["duration_seconds"].to_pylist(), strict=True))
    persons = boxes.filter(pc.is_null(boxes["label"]))
    has_annotations = pc.any(pc.equal(keyframes["split"], split)).as_py() or False
    detected = rows_by_video(persons, ["timestamp", *BOX_COLUMNS, "score", "track_id"])
    has_tracks = persons["track_id"].null_count < len(persons)  # for all films: a bank's parts have the same arrays
    annotated = rows_by_video(annotations, ["timestamp", *BOX_COLUMNS])
    named = rows_by_video(keyframes, ["timestamp"])
    films = []
    beyond: list[FilmMoment] = []
    for row in timelines.to_pylist():
        video_id = row["video_id"]
        if video_id not in durations:
            continue  # its file is missing or unreadable, as the extraction has reported
        shift, length = row["offset_seconds"] - row["first_timestamp"], durations[video_id]
        rows = detected.get(video_id, np.empty((0, 7)))
        if seconds == "annotated":
            seen = np.unique(named.get(video_id, np.empty((0, 1)))[:, 0])
        else:
            seen = np.unique(np.concatenate([film_seconds(row["first_timestamp"], shift, length), rows[:, 0]]))
        truth = np.unique(annotated.get(video_id, np.empty((0, 5))), axis=0) if has_annotations else None
        named_at = seen if truth is None else np.union1d(seen, truth[:, 0])
        late = named_at[is_beyond(named_at + shift, length)]
        beyond += [FilmMoment(video_id, at, at + shift, length) for at in late.tolist()]
        seen = np.setdiff1d(seen, late)
        truth = None if truth is None else truth[~np.isin(truth[:, 0], late)]
        kept = choose_boxes(rows, seen, rule)
        films.append(_film_boxes(video_id, shift, length, seen, kept=kept, truth=truth, has_tracks=has_tracks))
    say_beyond(beyond, f"timestamps of {split}")
    return films


def _film_boxes(
    video_id: str, shift: float, length: float, seen: Floats, *, kept: Floats, truth: Floats | None, has_tracks: bool
) -> FilmBoxes:
    """The boxes of a film from rows `kept` [n, 7] (timestamp, xyxy, score, track) and `truth` [m, 5]."""
    return FilmBoxes(
        video_id,
        shift,
        length,
        seen,
        detected_timestamp=kept[:, 0],
        detected_xyxy=kept[:, 1:5],
        detected_score=kept[:, 5],
        annotated_timestamp=None if truth is None else truth[:, 0],
        annotated_xyxy=None if truth is None else truth[:, 1:],
        detected_track=np.nan_to_num(kept[:, 6], nan=-1).astype(np.int64) if has_tracks else None,
    )


def choose_boxes(rows: Floats, seen: Floats, rule: BoxRule) -> Floats:
    """Select the rows (timestamp, x1, y1, x2, y2, score, ...) at the seconds seen that pass the rule.

    They are sorted by timestamp, then by score, the highest first. Further columns are kept; they are NaN for a box of
    the whole frame.

    Args:
        rows: [n, 6 or more columns]; boxes are shares of the frame.
        seen: timestamps at which boxes were looked for, in any order.
        rule: which boxes pass.
    """
    seen = np.unique(seen)
    rows = rows[np.isin(rows[:, 0], seen)]
    rows = rows[np.lexsort((*rows[:, 4:0:-1].T, -rows[:, 5], rows[:, 0]))]
    second = np.searchsorted(seen, rows[:, 0])
    bare, frames = whole_frames(second, len(seen), rule)
    whole = np.full((len(bare), rows.shape[1]), np.nan)
    whole[:, :6] = np.column_stack([seen[bare], frames])
    kept = np.concatenate([rows[passing(rows[:, 5], second, len(seen), rule, np.float64)], whole])
    return kept[np.argsort(kept[:, 0], kind="stable")]


def film_seconds(first_timestamp: float, shift: float, duration_seconds: float) -> Floats:
    """Return the labels of the film's seconds: first_timestamp plus whole numbers whose times lie within the film."""
    first = int(np.ceil(-(first_timestamp + shift)))
    labels = first_timestamp + np.arange(first, first + int(duration_seconds) + 2)
    kept: Floats = labels.astype(np.float64)[(labels + shift >= 0) & ~is_beyond(labels + shift, duration_seconds)]
    return kept


def rows_by_video(table: pa.Table, columns: list[str]) -> dict[str, Floats]:
    """Group the rows of a table by video, one float64 array per video, in the table's order."""
    if not len(table):
        return {}
    values = np.column_stack([table[name].cast(pa.float64()).to_numpy() for name in columns])
    codes = table["video_id"].combine_chunks().dictionary_encode()
    order = np.argsort(codes.indices.to_numpy(), kind="stable")
    ends = np.cumsum(np.bincount(codes.indices.to_numpy(), minlength=len(codes.dictionary)))
    parts = np.split(values[order], ends[:-1])
    return dict(zip(codes.dictionary.to_pylist(), parts, strict=True))

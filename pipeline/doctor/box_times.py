"""Find person boxes with another clock than the annotations: frame numbers, another first second, another rate."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.problems import Problem
from pipeline.doctor.finding import Finding, findings_of
from pipeline.doctor.probe_films import ProbedFilm
from pipeline.features.requests import rows_by_video
from pipeline.tables.csv_rows import Floats

SLACK_SECONDS = 1.0
# In a film with fewer keyframes, boxes that end before their middle are no evidence of a fault.
LEAST_KEYFRAMES = 5


def check_box_times(keyframes: pa.Table, boxes: pa.Table, films: Mapping[str, ProbedFilm], split: str) -> list[Finding]:
    """Find films whose boxes lie after the film's end, outside the keyframes' span, or only in its first half.

    If fewer than half of the films are so, return nothing. Call this only if boxes cover few persons: a detector may
    run over other parts of a film than those that are annotated.

    Args:
        keyframes: KEYFRAMES.
        boxes: BOXES; objects are left out.
        films: the readable films.
        split: the split whose films are checked.
    """
    wanted = pc.and_(pc.equal(keyframes["split"], split), pc.equal(keyframes["status"], "annotated"))
    named = rows_by_video(keyframes.filter(wanted), ["timestamp", "time_seconds"])
    boxed = rows_by_video(boxes.filter(pc.is_null(boxes["label"])), ["timestamp", "time_seconds"])
    both = [each for each in sorted(named) if each in boxed]
    problems = []
    for video_id in both:
        film = films.get(video_id)
        length = film.duration_seconds if film else np.inf
        mine, theirs = named[video_id], np.unique(boxed[video_id], axis=0)
        if _fits(mine[:, 1], theirs[:, 1], length):
            continue
        found = f"boxes at timestamps {theirs[:, 0].min():.10g} to {theirs[:, 0].max():.10g}"
        expected = f"{mine[:, 0].min():.10g} to {mine[:, 0].max():.10g}, where its keyframes are"
        if np.isfinite(length):
            expected += f", in a film of {length:.6g} s"
        problems.append(Problem("boxes", video_id, found, expected))
    if len(problems) * 2 < len(both):
        return []
    return findings_of(
        f"proposal-times-{split}", "error", f"films of {split} have boxes at times that are not those of the keyframes",
        problems,
        "Boxes need the clock of the annotations, seconds from the film's first_timestamp on: divide frame numbers by "
        "the film's rate, add or take away the second at which they begin, and for text files of YOLO give the column "
        "fps of the videos.csv beside them the rate of the pictures that the detector saw (1 if they were cut at 1 a "
        "second).",
    )  # fmt: skip


def _fits(keyframes: Floats, boxes: Floats, length: float) -> bool:
    """Return whether boxes at times [n] fit a film with keyframes at times [m]."""
    first, last = keyframes.min(), keyframes.max()
    behind = (boxes > length + SLACK_SECONDS).mean() >= 0.5
    beside = boxes.min() > last + SLACK_SECONDS or boxes.max() < first - SLACK_SECONDS
    ends_early = len(keyframes) >= LEAST_KEYFRAMES and boxes.max() + SLACK_SECONDS < (first + last) / 2
    return not (behind or beside or ends_early)

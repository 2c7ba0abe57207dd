"""Apply the official limit of rows per frame, with the tie rule of the heap that the official code uses."""

import numpy as np

from pipeline.evaluation.box_arrays import Bools, BoxArrays, Ints


def best_rows(rows: BoxArrays, limit: int) -> Bools:
    """Return a mask of the rows that the official reader keeps: at most `limit` per frame, over all classes.

    The reader keeps a heap of (score, action id, y1, x1, y2, x2). Once the heap is full, a row enters only if its
    score is above the smallest, and the smallest tuple is removed. Let t be the limit-th best score of a frame. Then
    all rows above t stay. Of the rows with score t, only those among the frame's first `limit` rows with score t or
    more can stay; the greatest tuples of these fill the remaining places.
    """
    kept = np.ones(len(rows.value), bool)
    counts = np.bincount(rows.frame)
    crowded = np.flatnonzero(counts[rows.frame] > limit)
    if not len(crowded):
        return kept
    frame, score = rows.frame[crowded], rows.value[crowded]
    cut = np.zeros(len(counts))
    sizes = counts[counts > limit]
    by_score = np.lexsort((-score, frame))
    cut[counts > limit] = score[by_score[np.cumsum(sizes) - sizes + limit - 1]]
    kept[crowded] = score >= cut[frame]

    tied_frames = np.bincount(rows.frame[kept], minlength=len(counts)) > limit
    reaching = np.flatnonzero(kept & tied_frames[rows.frame])
    if len(reaching):
        reaching = reaching[np.argsort(rows.frame[reaching], kind="stable")]
        tied = reaching[rows.value[reaching] == cut[rows.frame[reaching]]]
        above = np.bincount(rows.frame[reaching], minlength=len(counts)) - np.bincount(
            rows.frame[tied], minlength=len(counts)
        )
        kept[tied] = False
        early = reaching[_rank_in_frame(rows.frame[reaching]) < limit]
        early = early[rows.value[early] == cut[rows.frame[early]]]
        x1, y1, x2, y2 = (-column for column in rows.corners(early))
        early = early[np.lexsort((x2, y2, x1, y1, -rows.label[early], rows.frame[early]))]
        places = limit - above[rows.frame[early]]
        kept[early[_rank_in_frame(rows.frame[early]) < places]] = True
    return kept


def _rank_in_frame(frame: Ints) -> Ints:
    """Return 0, 1, ... within each run of equal frames."""
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    lengths = np.diff(first, append=len(frame))
    return np.arange(len(frame)) - np.repeat(first, lengths)

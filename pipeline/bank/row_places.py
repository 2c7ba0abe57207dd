"""Find the rows of a bank at each keyframe by their positions; features are read only when they are needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.films_ahead import fetch_index
from pipeline.bank.held_features import HeldFeatures
from pipeline.bank.reader import Bank
from pipeline.base.errors import InputError
from pipeline.tables.keyframes import KeyframeSet, stretches

MOST_COPIED = 1 << 30  # bytes of features from another machine that are held in memory
CHUNK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class RowPlaces:
    """Positions of N rows of a bank at K keyframes, sorted by keyframe."""

    keyframe: IntArray  # [N], index of the keyframe
    source: IntArray  # [N], index into `sources`
    row: IntArray  # [N], position within the video's rows of the row set
    boxes_xyxy: NDArray[np.float64]  # [N, 4], normalised
    score: FloatArray | None  # [N]
    sources: Sequence[tuple[str, str]]  # (video, row set)

    def take(self, index: NDArray[Any]) -> "RowPlaces":
        """Return the rows that `index` (positions or a mask) selects, in its order."""
        arrays = (self.keyframe[index], self.source[index], self.row[index], self.boxes_xyxy[index])
        return RowPlaces(*arrays, None if self.score is None else self.score[index], self.sources)

    def join(self, other: "RowPlaces") -> tuple["RowPlaces", IntArray]:
        """Merge both by keyframe, without scores; rows of `self` come first.

        Returns:
            The rows of both, and the position that each row had in (self, other).
        """
        both = RowPlaces(
            np.concatenate([self.keyframe, other.keyframe]),
            np.concatenate([self.source, other.source + len(self.sources)]),
            np.concatenate([self.row, other.row]),
            np.concatenate([self.boxes_xyxy, other.boxes_xyxy]),
            None,
            [*self.sources, *other.sources],
        )
        order = np.argsort(both.keyframe, kind="stable")
        return both.take(order), order


def rows_at(bank: Bank, keyframes: KeyframeSet, row_set: str) -> RowPlaces:
    """Find the rows of a row set at each keyframe, in the order in which they are stored.

    Args:
        bank: any bank, or loose parts.
        keyframes: sorted by video_id; a keyframe whose film is not in the bank gets no rows.
        row_set: `detections` or `ground_truth`.
    """
    fetch_index([bank], [row_set])
    ids = keyframes.video_ids
    firsts = [place for place, video_id in enumerate(ids) if not place or video_id != ids[place - 1]]
    sources: list[tuple[str, str]] = []
    places = [np.empty((3, 0), np.int64)]
    boxes: list[FloatArray] = [np.empty((0, 4))]
    scores: list[FloatArray | None] = [np.empty(0, np.float32)]
    for first, last in pairwise([*firsts, len(ids)]):
        if not bank.has_rows(ids[first], row_set):
            continue
        timestamp, box, score = (
            bank.column(ids[first], row_set, name) for name in ("timestamp", "boxes_xyxy", "score")
        )
        assert timestamp is not None  # every bank has it
        at = keyframes.timestamp[first:last]
        counts, row = stretches(np.searchsorted(timestamp, at), np.searchsorted(timestamp, at, side="right"))
        keyframe = np.repeat(np.arange(first, last), counts)
        places.append(np.stack([keyframe, np.full(len(row), len(sources)), row]))
        boxes.append(np.full((len(row), 4), np.nan) if box is None else box[row])
        scores.append(None if score is None else score[row])
        sources.append((ids[first], row_set))
    known = [score for score in scores if score is not None]
    keyframe, source, row = np.concatenate(places, axis=1)
    score = np.concatenate(known) if len(known) == len(scores) else None
    return RowPlaces(keyframe, source, row, np.concatenate(boxes), score, sources)


def boxed_rows_at(bank: Bank, keyframes: KeyframeSet, row_set: str) -> RowPlaces:
    """Like `rows_at`, for callers that need boxes: a bank of another project may have none.

    Raises:
        InputError: a row has no box.
    """
    places = rows_at(bank, keyframes, row_set)
    bare = np.flatnonzero(np.isnan(places.boxes_xyxy).any(axis=1))
    if len(bare):
        video = places.sources[places.source[bare[0]]][0]
        cannot = "windows can read them, but a head can be neither trained on them nor scored"
        raise InputError(f"{bank.where}: {row_set} of video {video!r} have no boxes: {cannot}")
    return places


class StoredFeatures:
    """Features of N rows; those of an uncompressed bank stay in its mapped files, those of a compressed one in memory.

    Of a bank on another machine, memory has the films that were used last.

    Args:
        bank: the bank that holds the rows.
        places: the rows.

    Attributes:
        bank: the same.
        shape: (N, C).
        dtype: of the features.
    """

    def __init__(self, bank: Bank, places: RowPlaces) -> None:
        self.bank = bank
        self.shape = (len(places.row), bank.channels)
        self.dtype = bank.dtype

        held = HeldFeatures(None if bank.fetched is None else MOST_COPIED)
        self._source, self._row = places.source, places.row
        self._read: Callable[[int], FloatArray] = lambda source: held.take(source, bank, *places.sources[source])
        if bank.manifest.codec != "none":
            rows = self.take(np.arange(len(self))).numpy()
            self._source, self._row = np.zeros_like(self._source), np.arange(len(self))
            self._read = lambda _: rows

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, index: IntArray) -> Tensor:
        """Return the features of the rows at `index`, [n, C], in the stored type."""
        taken = np.empty((len(index), self.shape[1]), self.dtype)
        source = self._source[index]
        order = np.argsort(source, kind="stable")
        starts = np.flatnonzero(np.diff(source[order], prepend=-1))
        for here in np.split(order, starts[1:]) if len(index) else ():
            taken[here] = self._read(int(source[here[0]]))[self._row[index[here]]]
        return torch.from_numpy(taken)

    def chunks(self) -> Iterator[Tensor]:
        """Yield the features of all rows, `CHUNK_ROWS` at a time."""
        for first in range(0, len(self), CHUNK_ROWS):
            yield self.take(np.arange(first, min(first + CHUNK_ROWS, len(self))))

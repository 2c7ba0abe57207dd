"""Compare two banks, one video at a time, so that memory use does not grow with the bank."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.bank.feature_rows import FeatureRows, FloatArray, IntArray
from pipeline.bank.format import ROW_SETS
from pipeline.bank.reader import Bank
from pipeline.base.progress import progress

CHUNK_ROWS = 4096  # features compared at a time, in float64
COLUMNS = ("score", "track_id")


@dataclass(frozen=True)
class RowSetDifference:
    """The difference between the rows of one row set, in one video or in all."""

    matched: int = 0
    only_in_a: int = 0
    only_in_b: int = 0
    matched_by_order: int = 0  # part of `matched`: rows without boxes, matched by their place within the second
    differing: int = 0  # matched rows that differ in a column that both banks have
    compared: int = 0  # count of compared feature values; 0 also where the numbers of channels differ
    max_absolute: float = 0.0
    sum_absolute: float = 0.0
    max_relative: float = 0.0  # relative to the larger magnitude of the two
    sum_relative: float = 0.0
    least_cosine: float = 1.0
    max_column: Mapping[str, float] = field(default_factory=dict)  # largest difference of score and track_id
    worst_video: str | None = None  # the one with the largest feature difference, else with most unmatched rows

    @property
    def unmatched(self) -> int:
        """Number of rows that only one bank has."""
        return self.only_in_a + self.only_in_b

    def add(self, other: "RowSetDifference") -> "RowSetDifference":
        """Add the difference of other rows to this one; the result names no worst video."""
        columns = set(self.max_column) | set(other.max_column)
        sums = ("matched", "only_in_a", "only_in_b", "matched_by_order", "differing", "compared")
        both = {name: getattr(self, name) + getattr(other, name) for name in (*sums, "sum_absolute", "sum_relative")}
        return RowSetDifference(
            **both,
            max_absolute=max(self.max_absolute, other.max_absolute),
            max_relative=max(self.max_relative, other.max_relative),
            least_cosine=min(self.least_cosine, other.least_cosine),
            max_column={name: max(each.max_column.get(name, 0.0) for each in (self, other)) for name in columns},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`, with means in place of sums."""
        values = asdict(self)
        for name in ("absolute", "relative"):
            values[f"mean_{name}"] = values.pop(f"sum_{name}") / self.compared if self.compared else None
        return values


@dataclass(frozen=True)
class BankDifference:
    """The difference between two banks."""

    settings: Mapping[str, list[Any]]  # key to the values of both banks
    videos_only_in_a: list[str]
    videos_only_in_b: list[str]
    row_sets: Mapping[str, RowSetDifference]  # for the videos that both banks have

    @property
    def same(self) -> bool:
        """Whether both banks have the same videos and rows with the same features."""
        videos = self.videos_only_in_a or self.videos_only_in_b
        return not videos and not any(each.differing or each.unmatched for each in self.row_sets.values())

    def to_json(self) -> dict[str, Any]:
        """Return the values for `--json`."""
        return {
            "same": self.same,
            "settings": dict(self.settings),
            "videos_only_in_a": self.videos_only_in_a,
            "videos_only_in_b": self.videos_only_in_b,
            "row_sets": {name: each.to_json() for name, each in self.row_sets.items()},
        }


def diff_banks(a: Bank, b: Bank, row_sets: Sequence[str] = ()) -> BankDifference:
    """Compare two banks row by row.

    Rows of a video are matched by equal timestamp and equal box. If a bank has no boxes, they are matched by their
    order within the whole second.

    Args:
        a: a bank.
        b: another bank, of any type and settings.
        row_sets: the row sets to compare, none for all that one of the two has; a bank without a row set counts as one
            with no rows of it.

    Raises:
        InputError: a shard is missing or unreadable.
    """
    known = {*a.manifest.row_sets, *b.manifest.row_sets}
    row_sets = row_sets or [name for name in ROW_SETS if name in known]
    totals = {name: RowSetDifference() for name in row_sets}
    worst: dict[str, tuple[tuple[float, int, int], str | None]] = dict.fromkeys(row_sets, ((0.0, 0, 0), None))
    for video in progress(sorted(set(a.videos) & set(b.videos)), what="diff", unit="video"):
        for name in row_sets:
            found = diff_rows(_rows(a, video, name), _rows(b, video, name))
            totals[name] = totals[name].add(found)
            rank = (found.max_absolute, found.unmatched, found.differing)
            if rank > worst[name][0]:
                worst[name] = (rank, video)
    return BankDifference(
        _settings(a, b),
        sorted(set(a.videos) - set(b.videos)),
        sorted(set(b.videos) - set(a.videos)),
        {name: replace(each, worst_video=worst[name][1]) for name, each in totals.items()},
    )


def _settings(a: Bank, b: Bank) -> dict[str, list[Any]]:
    first, second = (
        dict(bank.provenance)
        | {"split": bank.split, "channels": bank.channels, "dtype": str(bank.dtype), "codec": bank.manifest.codec}
        for bank in (a, b)
    )
    keys = sorted(set(first) | set(second))
    return {key: [first.get(key), second.get(key)] for key in keys if first.get(key) != second.get(key)}


def _rows(bank: Bank, video: str, row_set: str) -> FeatureRows:
    if bank.has_rows(video, row_set):
        return bank.rows(video, row_set)
    return FeatureRows(np.empty((0, bank.channels), bank.dtype), np.empty(0), np.empty((0, 4)))


def diff_rows(a: FeatureRows, b: FeatureRows) -> RowSetDifference:
    """Compare the rows of one row set of one video."""
    by_order = bool(np.isnan(a.boxes_xyxy).any() or np.isnan(b.boxes_xyxy).any())
    at_a, at_b = match_rows(a, b, by_order=by_order)
    differ = np.zeros(len(at_a), bool)
    columns: dict[str, float] = {}
    for name in COLUMNS:
        one, other = getattr(a, name), getattr(b, name)
        if one is not None and other is not None and len(at_a):
            columns[name] = float(np.abs(one[at_a].astype(np.float64) - other[at_b]).max())
            differ |= one[at_a] != other[at_b]
    found = RowSetDifference(
        matched=len(at_a),
        only_in_a=len(a) - len(at_a),
        only_in_b=len(b) - len(at_b),
        matched_by_order=len(at_a) if by_order else 0,
        max_column=columns,
    )
    if a.features.shape[1] != b.features.shape[1]:
        return replace(found, differing=len(at_a))
    absolute, relative, cosine = [0.0], [0.0], [1.0]
    sums = np.zeros(2)
    for rows, gap, size, angle in _compare_features(a.features, b.features, at_a, at_b):
        ratio = gap / np.where(size > 0, size, 1)
        differ[rows] |= gap.any(axis=1)
        absolute.append(float(gap.max()))
        relative.append(float(ratio.max()))
        cosine.append(float(angle.min()))
        sums += gap.sum(), ratio.sum()
    return replace(
        found,
        differing=int(differ.sum()),
        compared=len(at_a) * a.features.shape[1],
        max_absolute=max(absolute),
        sum_absolute=float(sums[0]),
        max_relative=max(relative),
        sum_relative=float(sums[1]),
        least_cosine=min(cosine),
    )


def _compare_features(
    a: FloatArray, b: FloatArray, at_a: IntArray, at_b: IntArray
) -> Iterator[tuple[slice, FloatArray, FloatArray, FloatArray]]:
    """Yield blocks of matched rows: the slice, |a - b| and the larger magnitude [n, C], and cosine similarity [n]."""
    for first in range(0, len(at_a), CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        one, other = a[at_a[rows]].astype(np.float64), b[at_b[rows]].astype(np.float64)
        gap = np.abs(one - other)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosine = np.minimum((one * other).sum(axis=1) / np.where(lengths > 0, lengths, 1), 1)
        yield rows, gap, np.maximum(np.abs(one), np.abs(other)), np.where(gap.any(axis=1), cosine, 1.0)


def match_rows(a: FeatureRows, b: FeatureRows, *, by_order: bool) -> tuple[IntArray, IntArray]:
    """Return the positions of the rows that both have, one array for `a` and one for `b`.

    Among equal rows, the k-th of `a` matches the k-th of `b`.

    Args:
        a: rows of one video.
        b: rows of the same video.
        by_order: rows are equal if their whole second is; else if timestamp and box are.
    """
    keys = [
        np.floor(rows.timestamp)[:, None] if by_order else np.column_stack([rows.timestamp, rows.boxes_xyxy])
        for rows in (a, b)
    ]
    _, codes = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    codes = codes.reshape(-1)
    ours, theirs = (_number(each, len(codes)) for each in (codes[: len(a)], codes[len(a) :]))
    _, at_a, at_b = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    return at_a.astype(np.int64), at_b.astype(np.int64)


def _number(codes: IntArray, step: int) -> IntArray:
    """Give each row a distinct integer made of its code and the number of earlier rows with the same code."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else np.empty(0, np.int64)
    before = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    numbers = np.empty(len(codes), np.int64)
    numbers[order] = ordered * step + before
    return numbers

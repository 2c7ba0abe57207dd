"""An index of a bank's rows by video and second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.bank.feature_rows import FloatArray, IntArray
from pipeline.bank.reader import Bank, differing_settings
from pipeline.base.errors import InputError

SECOND_BITS = 40  # an int64 key holds a video's number and a second; these bits are for the second
MAX_TIMESTAMP = 2.0 ** (SECOND_BITS - 2)


@dataclass(frozen=True)
class SecondIndex:
    """The position and number of each second's rows, among rows that are sorted by second."""

    keys: IntArray  # [m], sorted, distinct
    starts: IntArray  # [m]
    counts: IntArray  # [m]

    def find(self, first: IntArray, length: int) -> tuple[IntArray, IntArray]:
        """Return (start, count), [B, length] each, of the `length` keys that follow each of `first` [B].

        The count is 0 for a key without rows.
        """
        starts, counts = (np.zeros((len(first), length), np.int64) for _ in range(2))
        if len(self.keys):
            # The keys of one stretch are adjacent in `self.keys`, so one search finds them all.
            at = np.searchsorted(self.keys, first)[:, None] + np.arange(length)
            at = np.minimum(at, len(self.keys) - 1)
            offset = self.keys[at] - first[:, None]
            there = (offset >= 0) & (offset < length)
            row = np.broadcast_to(np.arange(len(first))[:, None], there.shape)[there]
            starts[row, offset[there]] = self.starts[at[there]]
            counts[row, offset[there]] = self.counts[at[there]]
        return starts, counts


def index_rows(bank: Bank, part: str, min_score: float) -> tuple[IntArray, SecondIndex]:
    """Select the rows of a part that windows read, sorted by (second, score descending), and index them by second.

    At the bank's own `box_threshold` these are all its rows, including rows below it that the bank's rule admitted (the
    best box of a second without a better one). If all rows of a second have one timestamp, the stored order is kept.

    Raises:
        InputError: the bank has no scores to apply `min_score` to.
    """
    timestamp = bank.column(part, "detections", "timestamp")
    score = bank.column(part, "detections", "score")
    assert timestamp is not None  # every bank has it
    stored = bank.provenance.get("box_threshold")
    rows = np.arange(len(timestamp))
    if min_score != stored and len(rows):
        if score is None:
            raise InputError(
                f"{bank.where}: part {part!r} has no scores and was made with bank.box_threshold {stored}, "
                f"so its rows cannot be cut at score {min_score:g}: head.window.score must be that threshold, which "
                "`actionbank bank import --provenance box_threshold=...` records"
            )
        rows = np.flatnonzero(score >= np.float32(min_score))  # scores were rounded to float32 when stored
    if score is None:
        score = np.zeros(len(timestamp), np.float32)
    far = np.abs(timestamp[rows]) >= MAX_TIMESTAMP
    if far.any():
        raise InputError(
            f"{bank.where}: part {part!r} has timestamp {timestamp[rows][far][0]:g}, "
            f"expected less than {MAX_TIMESTAMP:g}"
        )
    order, index = index_seconds(timestamp[rows], score[rows])
    return rows[order], index


def index_seconds(timestamp: FloatArray, score: FloatArray) -> tuple[IntArray, SecondIndex]:
    """Return the order of rows by (second, score descending), and the index of the rows in this order by second."""
    second = np.floor(timestamp).astype(np.int64)
    order = np.lexsort((-score, second))
    seconds, starts, counts = np.unique(second[order], return_index=True, return_counts=True)
    return order, SecondIndex(seconds, starts.astype(np.int64), counts.astype(np.int64))


def features_of(bank: Bank, part: str, rows: IntArray) -> npt.NDArray[Any]:
    """Return the features of some detections of a part; a view if the rows are adjacent."""
    features = bank.column(part, "detections", "features")
    assert features is not None  # every bank has it
    together = bool(len(rows)) and bool((np.diff(rows) == 1).all())
    return features[rows[0] : rows[-1] + 1] if together else features[rows]


def check_banks(banks: Sequence[Bank], min_score: float) -> list[tuple[Bank, str]]:
    """Check that banks can be read as one, and that the threshold is not below the stored one.

    A video may be in two banks if both hold the same rows of it (train and val share a film that is split by time);
    it is read from the first one.

    Returns:
        Each video with the bank that it is read from.

    Raises:
        InputError: the banks do not fit together, or the threshold is too low; the message shows both values.
    """
    owners: dict[str, Bank] = {}
    for bank in banks:
        for what, ours, theirs in (
            ("channels", banks[0].channels, bank.channels),
            ("dtype", banks[0].dtype, bank.dtype),
        ):
            if ours != theirs:
                raise InputError(f"{banks[0].where} has {what} {ours} and {bank.where} {theirs}, expected the same")
        stored = bank.provenance.get("box_threshold")
        if stored is not None and min_score < stored:
            raise InputError(
                f"{bank.where}: holds boxes from score {stored:g} on, a window cannot read from {min_score:g} on"
            )
        for part in bank.videos:
            if part in owners and not _is_same(owners[part], bank, part):
                raise InputError(
                    f"part {part!r} stands in {owners[part].where} and in {bank.where} with other rows or settings, "
                    "expected in one"
                )
            owners.setdefault(part, bank)
    return [(bank, part) for part, bank in owners.items()]


def _is_same(one: Bank, other: Bank, part: str) -> bool:
    """Return whether two banks hold the same detections of a video, from equal frames, boxes and settings."""
    alike = {key: (one.provenance.get(key), other.provenance.get(key)) for key in ("frames_sha256", "boxes_sha256")}
    if differing_settings(one, other) or any(None in both or both[0] != both[1] for both in alike.values()):
        return False
    columns = ("timestamp", "boxes_xyxy", "score")
    pairs = [(one.column(part, "detections", name), other.column(part, "detections", name)) for name in columns]
    return all((ours is None) == (theirs is None) and np.array_equal(ours, theirs) for ours, theirs in pairs)  # type: ignore[arg-type]


def check_keyframes(video_ids: Sequence[str], timestamps: FloatArray | Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the timestamps as float64 [B].

    Raises:
        ValueError: their number differs from that of the ids, or a timestamp is not finite.
    """
    times = np.asarray(timestamps, np.float64)
    if times.shape != (len(video_ids),) or not (np.abs(times) < MAX_TIMESTAMP).all():
        raise ValueError(f"{len(video_ids)} video ids and timestamps {times}: expected one finite timestamp each")
    return times


def video_key(video: int | IntArray, seconds: IntArray) -> IntArray:
    """Combine a video's number and a second into one sortable integer; a negative video number matches no index."""
    return (np.asarray(video, np.int64) << SECOND_BITS) + seconds + (1 << (SECOND_BITS - 1))

"""Turn tables of boxes into arrays: frames numbered across all tables, columns without nulls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import InputError
from pipeline.tables.schemas import BOX_COLUMNS

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NumberedFrames:
    """The frames of several tables. The key of a frame is `video,time`, with six decimals of the time."""

    video_ids: tuple[str, ...]
    video: Ints  # [F] index into video_ids
    microseconds: Ints  # [F]

    def name(self, frame: int) -> str:
        """Return `video,time` of one frame."""
        time = f"{self.microseconds[frame] / 1e6:.6f}".rstrip("0").rstrip(".")
        return f"{self.video_ids[self.video[frame]]},{time}"


@dataclass(frozen=True)
class BoxArrays:
    """Boxes of scored classes in the order of their table, as arrays of length N.

    Corners stay in the table until they are needed: only boxes that share frame and class with others are compared, and
    copying the rest would cost the most time.
    """

    frame: Ints
    label: Ints  # index into the scored classes
    value: Floats  # a detection's score; a ground-truth box's person id
    row: Ints  # row number in the table, ascending
    table: pa.Table

    def take(self, kept: Bools) -> "BoxArrays":
        """Return the rows of a mask [rows]; the same object if the mask takes all, as for most files."""
        if kept.all():
            return self
        return BoxArrays(self.frame[kept], self.label[kept], self.value[kept], self.row[kept], self.table)

    def corners(self, chosen: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """Return x1, y1, x2, y2 of the rows at the positions `chosen`, [len(chosen)] each."""
        x1, y1, x2, y2 = (_gather(self.table[name], self.row[chosen]) for name in BOX_COLUMNS)
        return x1, y1, x2, y2

    def inverted(self) -> Bools:
        """Return a mask of boxes with x1 > x2 or y1 > y2."""
        return self._either_side(pc.greater)

    def degenerate(self) -> Bools:
        """Return a mask of boxes without area, including inverted ones."""
        return self._either_side(pc.greater_equal)

    def _either_side(self, compare: Callable[[Any, Any], Any]) -> Bools:
        x1, y1, x2, y2 = (self.table[name] for name in BOX_COLUMNS)
        mask: Bools = pc.or_(compare(x1, x2), compare(y1, y2)).to_numpy()
        return mask if len(mask) == len(self.row) else mask[self.row]


def _gather(column: pa.ChunkedArray, rows: Ints) -> Floats:
    """Return the values of some rows, without joining the column's chunks."""
    if column.num_chunks == 1:
        return np.asarray(column.chunk(0).to_numpy()[rows])
    if (np.diff(rows) < 0).any():
        rows, back = np.unique(rows, return_inverse=True)
        return _gather(column, rows)[back]
    values = np.empty(len(rows))
    offset, start = 0, 0
    for chunk in column.chunks:
        end = start + int(np.searchsorted(rows[start:], offset + len(chunk)))
        values[start:end] = chunk.to_numpy()[rows[start:end] - offset]
        offset, start = offset + len(chunk), end
    return values


def _codes(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Return the index of each row's value, and the distinct values."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # a column without chunks stays a ChunkedArray
        array = pa.array([], column.type)
    return array.indices.to_numpy(zero_copy_only=False), array.dictionary


def number_frames(tables: Sequence[pa.Table]) -> tuple[NumberedFrames, list[Ints]]:
    """Number the frames that occur in any of the tables, by video and time.

    Args:
        tables: with columns `video_id` and `timestamp`.

    Returns:
        The frames, and for each table the frame of each row.
    """
    videos = [_codes(table["video_id"]) for table in tables]
    times = [_codes(table["timestamp"]) for table in tables]
    video_ids = sorted({str(value) for _, values in videos for value in values.to_pylist()})
    video_index = {value: index for index, value in enumerate(video_ids)}
    # Via text: the official key has six decimals, rounded as in text.
    ticks = [[int(f"{value:.6f}".replace(".", "")) for value in values.to_pylist()] for _, values in times]
    all_ticks = np.unique(np.concatenate([np.asarray(each, np.int64) for each in ticks]))

    heads, lengths = [], []
    for (video_codes, names), (time_codes, _), tick in zip(videos, times, ticks, strict=True):
        changes = (np.diff(video_codes) != 0) | (np.diff(time_codes) != 0)
        first = np.concatenate([np.zeros(min(1, len(video_codes)), np.int64), np.flatnonzero(changes) + 1])
        video = np.asarray([video_index[str(name)] for name in names.to_pylist()], np.int64)
        time = np.searchsorted(all_ticks, np.asarray(tick, np.int64))
        heads.append(video[video_codes[first]] * len(all_ticks) + time[time_codes[first]])
        lengths.append(np.diff(first, append=len(video_codes)))
    keys = np.sort(np.concatenate(heads))
    keys = keys[np.diff(keys, prepend=-1) != 0]
    runs = zip(heads, lengths, strict=True)
    # 32 bits suffice for millions of rows, and moving them is what costs time.
    rows = [np.repeat(np.searchsorted(keys, head).astype(np.int32), length) for head, length in runs]
    count = max(1, len(all_ticks))
    return NumberedFrames(tuple(video_ids), keys // count, all_ticks[keys % count]), rows


def scored_rows(table: pa.Table, frame: Ints, *, class_ids: Ints, value: str) -> BoxArrays:
    """Return the rows of scored classes.

    Args:
        table: boxes, `action_id` and the column `value` (a null, which is a missing person id, reads as 1).
        frame: the frame of each row.
        class_ids: the scored classes, ascending.
        value: name of the score or person id.

    Raises:
        InputError: a score is not a number.
    """
    # A lookup table for the ids of the label map; every other id is clipped to its first or last entry.
    slots = np.full(class_ids[-1] + 2, -1, np.int32)
    slots[class_ids] = np.arange(len(class_ids))
    action_id = np.clip(table["action_id"].to_numpy(), -1, len(slots) - 1)
    values = table[value].to_numpy().astype(np.float64, copy=False)
    if value == "score":
        if np.isnan(values).any():
            raise InputError(f"detections: row {int(np.isnan(values).argmax()) + 1}: score is not a number")
    elif table[value].null_count:
        values = np.where(table[value].is_null().to_numpy(), 1.0, values)
    rows = BoxArrays(frame, slots[action_id], values, np.arange(len(frame), dtype=np.int32), table)
    return rows.take(rows.label >= 0)

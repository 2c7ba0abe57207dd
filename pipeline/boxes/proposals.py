"""Read pickles of proposals: those of AVA, as MMAction2 uses them, and those of MultiSports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.annotations.multisports_tubes import FPS, look_like_frames, video_of
from pipeline.base.errors import InputError
from pipeline.base.problems import Fault, Problem
from pipeline.boxes.box_rows import BoxRows, add_scores
from pipeline.tables.csv_rows import VIDEO_ID_EXPECTED, Faults, Floats, numbers, shown, video_id_fault
from pipeline.tables.film_ids import has_ending

PROPOSALS_PICKLE = "ava_proposals_pickle"
MULTISPORTS_PICKLE = "multisports_proposals_pickle"
LAYOUT = "a dict 'video_id,timestamp' -> array (N, 5) of x1, y1, x2, y2, score, or (N, 4)"


@dataclass
class _Read:
    """What the keys of a pickle hold."""

    good: list[int] = field(default_factory=list)
    "Indices of the keys whose boxes can be read."
    arrays: list[Floats] = field(default_factory=list)
    "The boxes (N, 5) of each of these keys."
    problems: list[Problem] = field(default_factory=list)
    "Problems of the other keys."
    key_rows: int = 0
    "Number of boxes under the other keys; a key counts as at least one."
    without_score: int = 0


def read_proposals(path: Path, content: Mapping[Any, Any]) -> BoxRows:
    """Read a dict 'video_id,timestamp' -> (N, 5) or (N, 4), as published with the AVA challenge and for MMAction2.

    Boxes without a score column get score 1. A float32 array keeps its values exactly. If the ids are file names
    (`sport/name.mp4`), as in MultiSports, the number after the comma is a frame, counted from 1 at 25 frames per
    second. The video is then the name without folder and ending, and the timestamp is the frame's time in seconds.

    Raises:
        InputError: the content has more boxes than fit into the bytes of the file.
    """
    keys = [key if isinstance(key, str) else f"of type {type(key).__name__}" for key in content]
    parts = [key.rpartition(",") for key in keys]
    stamps = numbers(pa.array([stamp.strip() for _, _, stamp in parts], pa.large_string()))
    files = sorted({name for name, _, _ in parts if has_ending(name)})
    # If the content does not show what the numbers count, file names as ids mean frames, as in MultiSports.
    frames = bool(files) and look_like_frames(files, pa.array([stamp.strip() for _, _, stamp in parts])) is not False
    read = _read_keys(path, keys, [name for name, _, _ in parts], stamps, list(content.values()))
    counts = np.array([len(array) for array in read.arrays], np.int64)
    # A keyframe without a box becomes one row.
    owner = np.repeat(np.array(read.good, np.int64), np.maximum(counts, 1))
    empty = np.repeat(counts == 0, np.maximum(counts, 1))
    values = np.full((len(owner), 5), np.nan)
    values[~empty] = np.concatenate([np.empty((0, 5)), *read.arrays])
    first_row = {key: row for row, key in reversed(list(enumerate(owner.tolist())))}

    def where(row: int) -> str:
        key = int(owner[row])
        return f"key {shown(keys[key])}" + ("" if empty[row] else f", box {row - first_row[key] + 1}")

    faults = Faults(path.name, where, len(owner))
    faults.add_boxes(values[:, :4], None, ~empty)
    add_scores(faults, values[:, 4], lambda i: str(values[i, 4]), ~empty)
    names = pa.array([video_of(name) if has_ending(name) else name for name, _, _ in parts], pa.string())
    notes = [f"{read.without_score} boxes have no score column: their score is 1"] if read.without_score else []
    if frames:
        notes.append(f"timestamps are frames, of which {FPS:g} are a second, as in MultiSports")
    return BoxRows(
        format=MULTISPORTS_PICKLE if frames else PROPOSALS_PICKLE,
        faults=faults,
        video_ids=names.take(pa.array(owner)),
        timestamp=(np.round((stamps - 1) / FPS, 6) if frames else stamps)[owner],
        boxes_xyxy=values[:, :4],
        score=values[:, 4],
        empty=empty,
        key_problems=read.problems,
        key_rows=read.key_rows,
        without_score=read.without_score,
        note="; ".join(notes),
    )


def _read_keys(path: Path, keys: Sequence[str], names: Sequence[str], stamps: Floats, values: Sequence[Any]) -> _Read:
    """Read the boxes of each key, and note a problem for each key that cannot be read.

    Args:
        path: the file.
        keys: the keys as messages show them.
        names: the video of each key.
        stamps: the number in each key, NaN if it has none.
        values: the value of each key.

    Raises:
        InputError: there are more boxes than fit into the bytes of the file.
    """
    known_faults = {name: video_id_fault(name) for name in set(names)}
    read = _Read()
    rows, size = 0, path.stat().st_size
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        array, fault = _rows_of(value)
        if not abs(stamps[index]) < 1e9:
            fault = Fault("no number after the last comma", "'video_id,timestamp'")
        elif known_faults[name]:
            fault = Fault(known_faults[name], VIDEO_ID_EXPECTED, "video-id")
        if fault:
            read.problems.append(Problem(path.name, f"key {shown(keys[index])}", *fault))
            read.key_rows += max(len(array), 1)
        else:
            read.good.append(index)
            read.without_score += len(array) if array.shape[1] == 4 else 0
            read.arrays.append(array if array.shape[1] == 5 else np.column_stack([array, np.ones(len(array))]))
        rows += len(array)
        if rows > size:  # one array may be stored once under many keys
            raise InputError(f"{path}: holds more boxes than {size} bytes can: arrays are repeated")
    return read


def _rows_of(value: Any) -> tuple[Floats, Fault | None]:
    """Return the boxes of a key as (N, 5) or (N, 4), and the fault if they cannot be read."""
    nothing, expected = np.empty((0, 5)), "an array (N, 5) or (N, 4)"
    if not isinstance(value, np.ndarray | list):
        return nothing, Fault(f"a {type(value).__name__}", expected)
    try:
        array = np.asarray(value)
    except ValueError:
        return nothing, Fault("rows of different lengths", expected)
    if array.dtype.kind not in "iuf":
        return nothing, Fault(f"values of type {array.dtype}", expected)
    if array.shape == (0,):
        return nothing, None
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        return nothing, Fault(f"an array of shape {array.shape}", expected)
    return array.astype(np.float64), None

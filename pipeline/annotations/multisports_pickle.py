"""Read MultiSports' ground-truth pickle into tables; the pickles of UCF101-24 and JHMDB have the same form.

A dict of `labels` (names), `test_videos` and `train_videos` (a list with one list of ids, or with one for each of
several ways to split the videos: JHMDB has three), `nframes` and
`resolution` ((height, width)) by video, and `gttubes`: by video and class index a list of arrays
`frame, x1, y1, x2, y2`, frames from 1 on, pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.base.errors import InputError
from pipeline.evaluation.box_arrays import Floats
from pipeline.interop.pickles import load_pickle
from pipeline.tables.label_map import Label
from pipeline.tables.schemas import ANNOTATIONS, BOX_COLUMNS, KEYFRAMES

SPLITS = {"train": "train_videos", "val": "test_videos"}


@dataclass(frozen=True)
class MultiSports:
    """The ground truth of a split, as `evaluate_multisports` takes it."""

    annotations: pa.Table
    keyframes: pa.Table
    labels: list[Label]
    sizes: dict[str, tuple[int, int]]
    "Width and height in pixels by video."
    splits: int = 1
    "How many alternative splits of its videos the file holds."


def read_multisports(path: Path, split: str, *, fps: float, number: int = 1) -> MultiSports:
    """Read the ground truth of a split.

    A timestamp is the number of a frame, as in MMAction2's CSV of the data set, and `time_seconds` is
    `(timestamp - 1) / fps`. Class k of the file is action id k + 1; a class's group is its sport, the first
    word of its name. `person_id` is the number of a tube within its video and class. Boxes are divided by the
    video's size and not changed otherwise: x2, y2 is the far corner, as in upstream's overlaps.

    Args:
        path: the pickle, e.g. multisports_GT.pkl.
        split: train, or val (the file's `test_videos`).
        fps: frames per second of the films (25 in MultiSports).
        number: which of the file's alternative splits to take, from 1.

    Raises:
        InputError: the file cannot be read (see `load_pickle`) or is of another form.
    """
    content = load_pickle(path)
    videos = _videos(path, content, split, number)
    names = [str(name) for name in content["labels"]]
    sizes: dict[str, tuple[int, int]] = {}
    rows: dict[str, list[Any]] = {name: [] for name in ("video_id", "action_id", "person_id", "boxes")}
    for video in videos:
        sizes[video] = _size(path, content["resolution"], video)
        tubes = _entry(path, content["gttubes"], "gttubes", video)
        if not isinstance(tubes, dict):
            raise InputError(f"{path}: tubes of {video}: found {type(tubes).__name__}, expected a dict by class")
        for label, person, tube in _tubes(path, video, tubes, len(names)):
            rows["video_id"] += [video] * len(tube)
            rows["action_id"] += [label + 1] * len(tube)
            rows["person_id"] += [person] * len(tube)
            rows["boxes"].append(np.column_stack([tube[:, 0], tube[:, 1:] / np.tile(sizes[video], 2)]))
    boxes = np.concatenate([np.zeros((0, 5)), *rows["boxes"]])
    columns = {
        "video_id": rows["video_id"],
        "timestamp": boxes[:, 0],
        "time_seconds": (boxes[:, 0] - 1) / fps,
        **dict(zip(BOX_COLUMNS, boxes[:, 1:].T, strict=True)),
        "action_id": rows["action_id"],
        "person_id": rows["person_id"],
    }
    annotations = pa.table([pa.array(columns[field.name], field.type) for field in ANNOTATIONS], schema=ANNOTATIONS)
    annotations = annotations.sort_by(
        [(name, "ascending") for name in ("video_id", "timestamp", *BOX_COLUMNS, "action_id")]
    )
    seen = sorted(set(zip(rows["video_id"], boxes[:, 0].tolist(), strict=True)))
    keyframes = pa.Table.from_pylist(
        [
            {"video_id": video, "timestamp": at, "time_seconds": (at - 1) / fps, "split": split, "status": "annotated"}
            for video, at in seen
        ],
        KEYFRAMES,
    )
    labels = [Label(index + 1, name, name.split()[0]) for index, name in enumerate(names)]
    return MultiSports(annotations, keyframes, labels, sizes, split_count(content))


def split_count(content: Mapping[str, Any]) -> int:
    """Return how many alternative splits a pickle holds; 1 for a list of another form, which reading refuses."""
    lists = [content[key] for key in SPLITS.values() if isinstance(content.get(key), list)]
    return max((len(each) for each in lists), default=1)


def _videos(path: Path, content: Any, split: str, number: int) -> list[str]:
    if split not in SPLITS:
        raise InputError(f"split is '{split}', expected {' or '.join(SPLITS)}")
    wanted = {"labels": list, SPLITS[split]: list, "resolution": dict, "gttubes": dict}
    for key, kind in wanted.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{path}: found {found}, expected a dict with a {kind.__name__} '{key}'")
    if not all(isinstance(name, str) and name.strip() for name in content["labels"]):
        raise InputError(f"{path}: labels: expected names of classes")
    where, listed = f"{path}: {SPLITS[split]}", content[SPLITS[split]]
    if not listed or not all(isinstance(each, list | tuple) for each in listed):
        raise InputError(f"{where}: expected a list with one list of video ids for each way to split the videos")
    if not all(isinstance(video, str) for each in listed for video in each):
        raise InputError(f"{where}: expected lists of video ids")
    if number > len(listed):
        raise InputError(f"{where}: found {len(listed)} lists of videos, expected number {number} of them")
    return list(listed[number - 1])


def _entry(path: Path, by_video: dict[str, Any], key: str, video: str) -> Any:
    if video not in by_video:
        raise InputError(f"{path}: {key}: found no entry of video {video}")
    return by_video[video]


def _size(path: Path, resolution: dict[str, Any], video: str) -> tuple[int, int]:
    """Return (width, height) of a video in pixels."""
    size = _entry(path, resolution, "resolution", video)
    whole = (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(n, int | np.integer) and n > 0 for n in size)
    )
    if not whole:
        raise InputError(f"{path}: resolution of {video}: found {size!r}, expected (height, width) in pixels")
    return int(size[1]), int(size[0])


def _tubes(path: Path, video: str, tubes: dict[Any, Any], classes: int) -> list[tuple[int, int, Floats]]:
    """Return (class index, number within the class, array) of every tube of a video."""
    found = []
    for label, of_class in tubes.items():
        if not isinstance(label, int | np.integer) or not 0 <= label < classes:
            raise InputError(f"{path}: tubes of {video}: found class {label!r}, expected 0 to {classes - 1}")
        if not isinstance(of_class, list | tuple):
            found_type = type(of_class).__name__
            raise InputError(f"{path}: tubes of {video}: class {label}: found {found_type}, expected a list of arrays")
        for person, tube in enumerate(of_class):
            where = f"{path}: tubes of {video}: class {label}, tube {person}"
            if not isinstance(tube, np.ndarray) or tube.ndim != 2 or tube.shape[1] != 5 or not len(tube):
                shape = tuple(getattr(tube, "shape", ())) or type(tube).__name__
                raise InputError(f"{where}: found {shape}, expected an array of rows frame, x1, y1, x2, y2")
            tube = tube.astype(np.float64)
            if not np.isfinite(tube).all() or (tube[:, 0] != tube[0, 0] + np.arange(len(tube))).any():
                raise InputError(f"{where}: expected finite numbers and one row for each frame from first to last")
            found.append((int(label), person, tube))
    return found

"""MultiSports: its pickle of tubes, and MMAction2's CSVs.

The sources count frames from 1 on; here a timestamp is the frame's time in seconds. A clip's id there has its sport's
folder in front and, in the CSVs, `.mp4` behind; the video_id here is the name of its file, which has neither. Ids of
classes count from 0.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.datasets.ava_rows import ANNOTATION_WIDTHS, AvaRows, read_ava_rows
from pipeline.datasets.csv_rows import Faults, read_rows
from pipeline.datasets.drafts import Read
from pipeline.datasets.listed import Listed, frame_rate
from pipeline.datasets.ordering import ranked
from pipeline.datasets.timelines import Timeline
from pipeline.errors import InputError
from pipeline.evaluation.multisports.files import SPLITS, read_multisports
from pipeline.labels import Label
from pipeline.tables import BOX_COLUMNS

FPS = 25.0
VIDEO_FILE = re.compile(r".+\.(mp4|avi|mkv|webm|mov)")
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?:[^a-z]|$)")


def video_of(clip: str) -> str:
    """`aerobic_gymnastics/v_x_c001.mp4` is `v_x_c001`."""
    name = clip.rpartition("/")[2]
    return name.rpartition(".")[0] if VIDEO_FILE.fullmatch(name) else name


def is_multisports_csv(path: Path) -> bool:
    """Whether the rows are AVA's with files for ids."""
    rows = read_rows(path)
    if not len(rows) or rows.widths[0] not in ANNOTATION_WIDTHS:
        return False
    return bool(VIDEO_FILE.fullmatch(rows.column(0)[0].as_py()))


def pickle_rows(path: Path, content: dict[str, object], listed: dict[str, Listed]) -> tuple[Read, list[Label]]:
    """The boxes of every tube of every split that the file holds, and its classes.

    Raises:
        InputError: see `read_multisports`.
    """
    files, times, labels = [], dict[str, Timeline](), list[Label]()
    for split, key in SPLITS.items():
        if key not in content:
            continue
        found = read_multisports(path, split, fps=FPS)
        labels = found.labels
        table = found.annotations
        names, video = ranked(table["video_id"])
        stamps = table["timestamp"].to_numpy()
        boxes = np.stack([table[name].to_numpy() for name in BOX_COLUMNS], axis=1)
        near = np.clip(boxes, 0, 1)
        # A box may end a pixel outside the frame.
        boxes = np.where(np.abs(boxes - near) <= 2 / 256, near, boxes)

        places = [f"{clip}, frame {at:.0f}" for clip, at in zip(table["video_id"].to_pylist(), stamps, strict=True)]
        faults = Faults(path.name, places.__getitem__, len(stamps))
        every = np.ones(len(stamps), bool)
        faults.add_boxes(boxes, None, every)
        rows = AvaRows(
            split=split,
            faults=faults,
            lines=np.arange(1, len(stamps) + 1),
            video_ids=names,
            video=video,
            timestamp=stamps,
            boxes_xyxy=boxes,
            action=table["action_id"].to_numpy().astype(np.float64),
            person=table["person_id"].to_numpy().astype(np.float64),
            empty=~every,
        )
        files.append(in_seconds(path, renamed(path, rows), listed))
        times |= {each: Timeline(split, 0.0) for each in files[-1].video_ids}
    told = f"{path.name}: MultiSports pickle of tubes: {len(times)} videos, {len(labels)} classes"
    return Read("MultiSports pickle", files, times, [told]), labels


def csv_rows_of(path: Path, listed: dict[str, Listed], *, classes: int, first_id: int) -> Read:
    """The rows of one of MMAction2's CSVs; the name of the file says the split.

    Raises:
        InputError: the file cannot be read.
    """
    match = _SPLIT.search(path.stem.lower())
    split = match[1] if match else ""
    rows = read_ava_rows(path, split=split, classes=classes, widths=ANNOTATION_WIDTHS, first_id=first_id)
    rows = in_seconds(path, renamed(path, rows), listed)
    times = {each: Timeline(split, 0.0) for each in rows.named_videos()}
    told = f"{path.name}: MultiSports CSV (timestamps are frames, ids count from {first_id}): {len(times)} videos"
    return Read("MultiSports CSV", [rows], times, [told])


def by_sport(labels: Sequence[Label]) -> list[Label]:
    """The classes, each in the group of its sport, the first word of its name."""
    return [replace(label, group=re.split("[ _]", label.name)[0]) for label in labels]


def renamed(path: Path, rows: AvaRows) -> AvaRows:
    """The rows with the names of the files as ids.

    Raises:
        InputError: two clips of different folders have one name.
    """
    names = [video_of(each) for each in rows.video_ids]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path}: two clips are named {twice[0]}, expected one file of each name")
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return replace(rows, video_ids=[names[each] for each in order], video=place[rows.video])


def in_seconds(path: Path, rows: AvaRows, listed: dict[str, Listed]) -> AvaRows:
    """The rows with frames, counted from 1, as seconds from the start of the film.

    `videos.csv` sets a film's frame rate; without it MultiSports' 25 holds.
    """
    rates = np.array([frame_rate(each, listed, FPS, str(path)) for each in rows.video_ids], np.float64)
    return replace(rows, timestamp=np.round((rows.timestamp - 1) / rates[rows.video], 6))

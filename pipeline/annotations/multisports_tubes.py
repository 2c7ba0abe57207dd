"""Read MultiSports: its pickle of tubes, which UCF101-24 and JHMDB share, and MMAction2's CSVs.

The sources count frames from 1; our timestamp is the frame's time in seconds. An id of the sources starts with the
folder of its sport and, in the CSVs, ends with `.mp4`; our video_id is the file's name without both. Class ids of the
sources start at 0.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.ava_columns import read_ava_csv
from pipeline.annotations.ava_rows import ANNOTATION_WIDTHS, AvaRows, read_ava_rows, renamed
from pipeline.annotations.drafts import DraftsRead
from pipeline.annotations.listed import Listed, frame_rate
from pipeline.annotations.multisports_pickle import SPLITS, read_multisports, split_count
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import Faults, numbers, shown
from pipeline.tables.film_ids import film_of, has_ending
from pipeline.tables.label_map import Label
from pipeline.tables.ordering import ranked
from pipeline.tables.schemas import BOX_COLUMNS
from pipeline.tables.timelines import Timeline, split_in

FPS = 25.0
CLIP = re.compile(r"(?:.*/)?v_.+_c\d{3}\.\w+")
"The file name of a video of MultiSports."
SPORTS = ("aerobic", "basketball", "football", "volleyball")


def video_of(clip: str) -> str:
    """Return the video_id of a source's id: `aerobic_gymnastics/v_x_c001.mp4` gives `v_x_c001`."""
    return film_of(clip).rpartition("/")[2]


def names_files(path: Path) -> bool:
    """Return whether at least some ids of a CSV of AVA rows are file names (`a.mp4`)."""
    rows = read_ava_csv(path)
    if not len(rows) or rows.widths[0] not in ANNOTATION_WIDTHS:
        return False
    return any(map(has_ending, pc.unique(rows.column(0)).to_pylist()))


def has_published_names(path: Path) -> bool:
    """Return whether the films of a CSV are named as MultiSports names its files."""
    return all(map(CLIP.fullmatch, pc.unique(read_ava_csv(path).column(0)).to_pylist()))


def counts_frames(path: Path, timestamps: str) -> bool:
    """Return whether the timestamps of a CSV whose ids are file names are frame numbers from 1, and not seconds.

    Both occur: MMAction2 writes MultiSports with frames, and some users write AVA rows with file names as ids.

    Args:
        path: the CSV.
        timestamps: `dataset.timestamps`; auto looks at the content.

    Raises:
        InputError: the content does not show which it is.
    """
    if timestamps != "auto":
        return timestamps == "frames"
    rows = read_ava_csv(path)
    names = pc.unique(rows.column(0)).to_pylist()
    frames = look_like_frames(names, pc.unique(rows.column(1)))
    if frames is not None:
        return frames
    in_folders = next(name for name in names if "/" in name and has_ending(name))
    raise InputError(
        f"{path}: names films by files in folders ({shown(in_folders)}): timestamps of MultiSports' rows are frames, "
        "those of AVA's are seconds; expected dataset.timestamps: frames, or dataset.timestamps: seconds"
    )


def look_like_frames(names: Sequence[str], texts: pa.Array) -> bool | None:
    """Return whether timestamps of rows with file names are frames; None if the content does not show it.

    Args:
        names: the films.
        texts: the timestamps as the file writes them.
    """
    stamps = numbers(texts)
    stamps = stamps[np.isfinite(stamps)]
    if (stamps < 1).any() or (stamps != np.floor(stamps)).any():
        return False
    if all(map(CLIP.fullmatch, names)):
        return True
    as_ava_writes = any(re.fullmatch(r"0\d+", text) for text in texts.to_pylist())
    return None if not as_ava_writes and any("/" in name and has_ending(name) for name in names) else False


def pickle_rows(
    path: Path, content: dict[str, object], listed: dict[str, Listed], *, number: int = 1
) -> tuple[DraftsRead, list[Label]]:
    """Return the boxes of all tubes of all splits in the file, and its classes.

    Args:
        path: the file.
        content: the loaded pickle.
        listed: what videos.csv gives; the frame rates are taken from there.
        number: which of the file's alternative splits to take (JHMDB has three), from 1.

    Raises:
        InputError: see `read_multisports`.
    """
    files, times, labels = [], dict[str, Timeline](), list[Label]()
    for split, key in SPLITS.items():
        if key not in content:
            continue
        found = read_multisports(path, split, fps=FPS, number=number)
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
        files.append(in_seconds(path, renamed(path, rows, video_of), listed))
        times |= {each: Timeline(split, 0.0) for each in files[-1].video_ids}
    told = [f"{path.name}: pickle of tubes in the form of MultiSports: {len(times)} videos, {len(labels)} classes"]
    if (several := split_count(content)) > 1:
        told.append(
            f"{path.name}: has {several} ways to split its videos; number {number} is read (dataset.split_number)"
        )
    return DraftsRead("MultiSports pickle", files, times, told, assumed_fps=assumed_rates(times, listed)), labels


def csv_rows_of(
    path: Path, listed: Mapping[str, Listed], *, classes: int, first_id: int, fps: float | None = FPS
) -> DraftsRead:
    """Read a CSV that counts frames, such as MMAction2's of MultiSports; the file's name gives the split.

    Args:
        path: the CSV.
        listed: what videos.csv gives; the frame rates are taken from there.
        classes: number of action ids.
        first_id: the file's first action id, 0 or 1.
        fps: frame rate of videos for which videos.csv gives none; None if there is no such default.

    Raises:
        InputError: the file cannot be read, or a video has no frame rate.
    """
    split = split_in(path.stem)
    rows = read_ava_rows(path, split=split, classes=classes, widths=ANNOTATION_WIDTHS, first_id=first_id)
    rows = in_seconds(path, renamed(path, rows, video_of), listed, fps)
    times = {each: Timeline(split, 0.0) for each in rows.named_videos()}
    kind = "MultiSports CSV" if has_published_names(path) else "AVA CSV of frames"
    told = f"{path.name}: {kind} (timestamps are frames, ids count from {first_id}): {len(times)} videos"
    return DraftsRead(kind, [rows], times, [told], assumed_fps=assumed_rates(times, listed))


def assumed_rates(video_ids: Iterable[str], listed: Mapping[str, Listed]) -> dict[str, float]:
    """Return MultiSports' frame rate for each video that has none in videos.csv."""
    return {each: FPS for each in video_ids if listed.get(each, Listed()).fps is None}


def by_sport(labels: Sequence[Label]) -> list[Label]:
    """Return the classes grouped by sport, the first word of a name; classes of other data sets form one group."""
    first_words = [re.split("[ _]", label.name)[0] for label in labels]
    groups = [word if word in SPORTS else "action" for word in first_words]
    return [replace(label, group=group) for label, group in zip(labels, groups, strict=True)]


def in_seconds(path: Path, rows: AvaRows, listed: Mapping[str, Listed], fps: float | None = FPS) -> AvaRows:
    """Return the rows with frame numbers, which start at 1, converted to seconds from the start of the film.

    The frame rate is that of `videos.csv`, else `fps`.

    Raises:
        InputError: neither gives a rate.
    """
    rates = np.array([frame_rate(each, dict(listed), fps, str(path)) for each in rows.video_ids], np.float64)
    return replace(rows, timestamp=np.round((rows.timestamp - 1) / rates[rows.video], 6))

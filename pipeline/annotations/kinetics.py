"""Read AVA-Kinetics: its rows name a YouTube video, and its films are the Kinetics clips that hold the keyframes.

`kinetics_train_v1.0.csv` and `kinetics_val_v1.0.csv` are AVA CSV: the id of a YouTube video, and a second of it. The
video files are those of Kinetics, `<youtube_id>_<start>_<end>.mp4` with six digits for start and end, or folders of
pictures with such names. The first_timestamp of a clip is its start, so that a row keeps its timestamp.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.annotations.ava_rows import ANNOTATION_WIDTHS, AvaRows, read_ava_rows
from pipeline.base.errors import InputError
from pipeline.base.problems import Problem
from pipeline.tables.ordering import ranked
from pipeline.tables.timelines import Timeline, TwoSplitsError
from pipeline.video.folder import list_sources

PUBLISHED = re.compile(r"kinetics_(train|val)_v1\.\d\.csv")
CLIP = re.compile(r"(.+)_(\d{6})_(\d{6})")
EVALUATED = {"ava": ("ava",), "kinetics": ("kinetics",), "ava_kinetics": ("ava", "kinetics")}
Spans = dict[str, list[tuple[int, int, str]]]


@dataclass(frozen=True)
class KineticsClips:
    """Which files of AVA-Kinetics are read."""

    files: dict[str, Path]
    "The CSV file of each split."
    ava_splits: tuple[str, ...]
    "The splits of AVA that are read with it."
    folder: Path
    "The folder of the clips, at any depth."


def kinetics_files(folder: Path, *, evaluate: str, clips: Path | None) -> KineticsClips | None:
    """Return AVA-Kinetics' files in an annotation folder; None if there are none.

    Args:
        folder: the annotation folder.
        evaluate: which films are val: ava, kinetics or ava_kinetics.
        clips: the folder of the clips.

    Raises:
        InputError: there are rows of clips but no folder of clips.
    """
    found = {match[1]: path for path in sorted(folder.iterdir()) if (match := PUBLISHED.fullmatch(path.name))}
    if not found:
        return None
    if clips is None or not clips.is_dir():
        raise InputError(
            f"{next(iter(found.values()))}: names videos of YouTube; dataset.clips is {clips}, expected the folder of "
            "the clips <youtube_id>_<start>_<end>.mp4"
        )
    parts = EVALUATED[evaluate]
    return KineticsClips(
        files={split: path for split, path in found.items() if split == "train" or "kinetics" in parts},
        ava_splits=("train", "test", *(["val"] if "ava" in parts else [])),
        folder=clips,
    )


def rows_of_clips(
    kinetics: KineticsClips, *, classes: int, first_id: int = 1
) -> tuple[list[AvaRows], dict[str, Timeline], list[Problem], list[str]]:
    """Return the rows by clip, the clips' timelines, the videos without a clip, and lines for the user.

    A row belongs to the clip whose [start, end) contains its timestamp; of several, to the one with the nearest middle.

    Raises:
        InputError: the folder holds no clip.
        TwoSplitsError: a clip is in two splits.
    """
    spans, empty = clip_spans(kinetics.folder)
    if not spans:
        raise InputError(f"{kinetics.folder}: no file named <youtube_id>_<start>_<end>, e.g. -abc_000012_000022.mp4")
    files, timelines = [], dict[str, Timeline]()
    missing, told = [], []
    for split, path in sorted(kinetics.files.items()):
        rows = read_ava_rows(path, split=split, classes=classes, widths=ANNOTATION_WIDTHS, first_id=first_id)
        keys = np.column_stack([rows.video, rows.timestamp])
        keyframes, of_row = np.unique(keys, axis=0, return_inverse=True)
        clips = [clip_at(spans, rows.video_ids[int(video)], at) for video, at in keyframes.tolist()]
        of_row = of_row.reshape(-1)
        absent = np.array([not clip for clip in clips], bool)[of_row] & ~rows.faults.bad
        lost = defaultdict(set)
        for row in np.flatnonzero(absent).tolist():
            lost[rows.video_ids[rows.video[row]]].add(float(rows.timestamp[row]))
        missing += [_missing(path, video_id, sorted(at), spans, empty) for video_id, at in sorted(lost.items())]
        rows.faults.leave_out(absent)
        names, video = ranked(pa.array([clip or "-" for clip in clips], pa.string()).take(pa.array(of_row)))
        files.append(replace(rows, video_ids=names, video=video))
        named = set(files[-1].named_videos())
        both = sorted(named & timelines.keys())
        if both:
            raise TwoSplitsError(
                f"{path}: clip {both[0]} is of {timelines[both[0]].split} too; a clip belongs to one split"
            )
        timelines |= {name: Timeline(split, _start(name)) for name in sorted(named)}
        told.append(
            f"{path.name}: {len(named)} clips; {len(lost)} videos with {int(absent.sum())} rows have no clip with "
            f"them" + (f", the first: {missing[-len(lost)]}" if lost else "")
        )
    return files, timelines, missing, told


def clip_spans(folder: Path) -> tuple[Spans, set[str]]:
    """Return (start, end, clip id) by YouTube video, and the videos with a file of zero bytes, which is no clip.

    A clip is a file or a folder of pictures.
    """
    spans: Spans = defaultdict(list)
    empty = set()
    listing = list_sources(folder)
    for path in sorted([*listing.files, *listing.folders]):
        is_file = path.is_file()
        name = path.stem if is_file else path.name  # a folder of pictures has no ending
        match = CLIP.fullmatch(name)
        if not match or not (is_file or path in listing.folders):
            continue
        if is_file and not path.stat().st_size:
            empty.add(match[1])
            continue
        spans[match[1]].append((int(match[2]), int(match[3]), name))
    return dict(spans), empty


def clip_at(spans: Spans, video_id: str, timestamp: float) -> str:
    """Return the clip that contains a second of a video; empty if there is none."""
    held = [
        (abs((start + end) / 2 - timestamp), start, clip)
        for start, end, clip in spans.get(video_id, [])
        if start <= timestamp < end
    ]
    return min(held)[2] if held else ""


def _start(clip: str) -> float:
    match = CLIP.fullmatch(clip)
    assert match
    return float(match[2])


def _missing(path: Path, video_id: str, stamps: list[float], spans: Spans, empty: set[str]) -> Problem:
    at = ", ".join(f"{each:.10g}" for each in stamps)
    there = [f"{start} to {end}" for start, end, _ in spans.get(video_id, [])]
    found = f"clips of {', '.join(there)}" if there else "a file of zero bytes" if video_id in empty else "no clip"
    return Problem(path.name, f"video {video_id}", found, f"a clip that holds second {at}")

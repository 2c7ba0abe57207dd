"""Import the labels of a data set of clips: match them with the stored films, and write the tables."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.annotations.clip_files import read_clip_files
from pipeline.annotations.clip_rows import ClipRow, ReadClips
from pipeline.base.errors import InputError
from pipeline.base.files import write_json
from pipeline.base.problems import Problem, print_first, report_problems
from pipeline.tables.clip_labels import ClipLabels, label_classes, write_clip_labels
from pipeline.tables.film_ids import names_beside
from pipeline.tables.schemas import CLIPS, write_table
from pipeline.tables.timelines import SPLITS

FILES = ("clips.parquet", "labels.json", "summary.json", "problems.json")


@dataclass(frozen=True)
class ClipImport:
    """The clips of a data set that have frames, and what was found on the way."""

    clips: list[ClipRow]
    "Sorted by id."
    classes: ClipLabels
    problems: list[Problem]
    "Rows that are left out, and rows that are kept although something in them is wrong."
    left_out: int
    "How many of the rows are left out."
    missing: list[Problem]
    "Clips without stored frames."
    rows: int
    "Number of rows, good and bad."
    summary: dict[str, object]


def import_clips(folder: Path, frames: Mapping[str, int], *, segments: int) -> ClipImport:
    """Read a folder of labels, and match them with the films that have frames.

    Of rows that name the same clip the first counts, but a row with a label replaces one without.

    Args:
        folder: see `pipeline.annotations.clip_files`.
        frames: number of stored frames of each film.
        segments: S; clips with fewer frames are kept and listed.

    Raises:
        InputError: see `read_clip_files`; or no clip has frames.
    """
    classes, read = read_clip_files(folder)
    chosen = _distinct(read)
    missing = [
        Problem(row.file, row.item, f"clip {row.video_id}, of which there are no frames", "a film of this name")
        for row in chosen.values()
        if row.video_id not in frames
    ]
    clips = sorted((row for row in chosen.values() if row.video_id in frames), key=lambda row: row.video_id)
    if not clips:
        first = next(iter(read.problems), None)
        fault = names_beside("the films", frames, sorted(chosen), "the labels") if chosen else f"the first row: {first}"
        raise InputError(f"{folder}: no clip of {read.total} rows has stored frames: {fault}")
    clips = [each for row in clips if (each := _checked(row, frames[row.video_id], segments, read)) is not None]
    found = label_classes(classes.names)
    unlisted = len(frames.keys() - chosen.keys())
    left_out = len(read.problems)
    summary = _summary(clips, found, read, missing=len(missing), unlisted=unlisted, left_out=left_out)
    return ClipImport(clips, found, [*read.problems, *read.notes], left_out, missing, read.total, summary)


def _distinct(read: ReadClips) -> dict[str, ClipRow]:
    """Return one row of each clip, and list the others."""
    chosen: dict[str, ClipRow] = {}
    for row in read.rows:
        other = chosen.setdefault(row.video_id, row)
        if other is row or (other.split == row.split and row.label is None):
            continue
        if other.split == row.split and other.label is None:
            chosen[row.video_id] = row
            continue
        place = f"as {other.file}, {other.item}"
        same = (other.split, other.label, other.first_frame, other.frames)
        if same == (row.split, row.label, row.first_frame, row.frames):
            read.refuse(row.file, row.item, f"clip {row.video_id} again, {place}", "each clip once", "repeated")
        else:
            found = f"clip {row.video_id} of {row.split} with label {row.label}"
            expected = f"{other.split} with label {other.label}, {place}"
            read.refuse(row.file, row.item, found, expected, "conflicting")
    return chosen


def _checked(row: ClipRow, stored: int, segments: int, read: ReadClips) -> ClipRow | None:
    """Compare the frames that the file names with those that are stored; None if the clip has none of them."""
    if row.first_frame >= stored:
        found = f"clip {row.video_id} from frame {row.first_frame} on"
        read.refuse(row.file, row.item, found, f"one of the {stored} stored frames")
        return None
    if row.frames is not None and row.first_frame + row.frames != stored:
        first = f" from {row.first_frame} on" if row.first_frame else ""
        within = row.first_frame and row.first_frame + row.frames < stored
        if not within:
            read.note(row.file, row.item, f"{row.frames} frames{first} of clip {row.video_id}", f"{stored}, as stored")
    own = _own_frames(row, stored)
    if own < segments:
        read.note(row.file, row.item, f"{own} frames of clip {row.video_id}", f"{segments} segments or more")
    return row


def _own_frames(row: ClipRow, stored: int) -> int:
    """Return how many stored frames belong to a clip; a list without a first frame means the whole film."""
    rest = stored - row.first_frame
    return min(row.frames, rest) if row.first_frame and row.frames else rest


def _summary(clips: list[ClipRow], classes: ClipLabels, read: ReadClips, **counts: int) -> dict[str, object]:
    splits = Counter(row.split for row in clips)
    by_class = Counter(row.label for row in clips if row.split == "train")
    named = [number for number, name in enumerate(classes.names) if name]
    return {
        "rows": read.total,
        "clips": {split: splits[split] for split in SPLITS if splits[split]},
        **counts,
        "kept_with_notes": len(read.notes),
        "classes": len(named),
        "classes_without_train_clips": [number for number in named if not by_class[number]],
        "flips": len(classes.flips),
        "one_sided": sorted(classes.one_sided),
    }


def write_clips(folder: Path, found: ClipImport, *, max_bad_fraction: float) -> str:
    """Write FILES into an empty folder, and print the first problems.

    Args:
        folder: an empty folder.
        found: the clips.
        max_bad_fraction: largest accepted share of rows that are left out (recognition.dataset.max_bad_fraction).

    Returns:
        a line that says how much was read.

    Raises:
        InputError: too many rows are bad.
    """
    print_first([*found.problems, *found.missing])
    columns = {
        "video_id": [row.video_id for row in found.clips],
        "split": [row.split for row in found.clips],
        "label": [row.label for row in found.clips],
        "text": [row.text for row in found.clips],
        "first_frame": [row.first_frame for row in found.clips],
        "frames": [row.frames if row.first_frame else None for row in found.clips],
    }
    write_table(pa.table(columns, schema=CLIPS), folder / "clips.parquet", CLIPS)
    write_clip_labels(folder / "labels.json", found.classes)
    write_json(folder / "summary.json", found.summary)
    report_problems(
        found.problems,
        total=found.rows,
        max_bad_fraction=max_bad_fraction,
        key="recognition.dataset.max_bad_fraction",
        folder=folder,
        unit="rows",
        missing=found.missing,
        bad=found.left_out,
    )
    summary = found.summary
    for split in ("train", "val"):
        if not any(row.split == split for row in found.clips):
            print(f"no clip is of {split}", file=sys.stderr)
    splits = ", ".join(f"{split} {sum(row.split == split for row in found.clips)}" for split in SPLITS)
    films = f"{len(found.missing)} without frames, {summary['unlisted']} films without a label"
    bad = f"{found.left_out} of {found.rows} rows are bad, {summary['kept_with_notes']} kept with a note"
    return (
        f"{len(found.clips)} clips ({splits}) of {summary['classes']} classes, {summary['flips']} of which a flip "
        f"exchanges; {films}, {bad}"
    )

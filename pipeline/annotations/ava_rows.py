"""Read one AVA CSV file into columns, with a problem for each row that cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations.ava_columns import read_ava_csv
from pipeline.base.errors import InputError
from pipeline.tables.csv_rows import Faults, Floats, Ints, Mask, numbers, shown
from pipeline.tables.film_ids import film_of
from pipeline.tables.ordering import first_alike, ranked
from pipeline.tables.timelines import Timeline

ANNOTATION_WIDTHS = (2, 7, 8)
EXCLUDED_WIDTHS = (2,)
LARGEST = 2**31 - 1


class OtherIds(NamedTuple):
    """The action ids of a file that are not in the label map, numbered as in the file."""

    known: range
    "The ids of the classes."
    found: frozenset[int]


@dataclass(frozen=True)
class AvaRows:
    """The n rows of one file; those marked in `faults.bad` are left out."""

    split: str
    faults: Faults
    lines: Ints
    "Line numbers in the file, from 1."
    video_ids: list[str]
    "Distinct and sorted; `video` [n] holds indices into it."
    video: Ints
    timestamp: Floats
    boxes_xyxy: Floats
    action: Floats
    person: Floats
    "NaN where the row has none."
    empty: Mask
    "True for rows that name a keyframe without a person."
    other_ids: OtherIds | None = None
    "Set if the file has such ids."

    def good(self) -> Ints:
        """Return the indices of the rows without a fault."""
        return np.flatnonzero(~self.faults.bad)

    def named_videos(self) -> list[str]:
        """Return the sorted videos of the rows without a fault."""
        return [self.video_ids[place] for place in np.unique(self.video[self.good()])]

    def time_seconds(self, timelines: dict[str, Timeline]) -> Floats:
        """Return the seconds from the start of the film [n]; NaN for videos without a timeline."""
        each = [timelines.get(video_id, Timeline("", np.nan)) for video_id in self.video_ids]
        first = np.array([timeline.first_timestamp for timeline in each], np.float64)
        offset = np.array([timeline.offset_seconds for timeline in each], np.float64)
        return self.timestamp - first[self.video] + offset[self.video]


def source_ids(path: Path) -> Floats:
    """Return the action ids of a file, unchanged; NaN for a row without one. Rows of another width are skipped.

    Raises:
        InputError: see `read_ava_csv`.
    """
    rows = read_ava_csv(path)
    return numbers(rows.column(6))[np.isin(rows.widths, ANNOTATION_WIDTHS)]


def _is_whole(values: Floats, low: int, high: int) -> Mask:
    whole: Mask = (values == np.floor(values)) & (values >= low) & (values <= high)
    return whole


def read_ava_rows(path: Path, *, split: str, classes: int, widths: tuple[int, ...], first_id: int = 1) -> AvaRows:
    """Read one file and check every row by itself.

    Args:
        path: an annotation file, or a list of excluded keyframes.
        split: the split of the file; empty if the videos give the split.
        classes: how many action ids there are.
        widths: how many columns a row may have: ANNOTATION_WIDTHS or EXCLUDED_WIDTHS.
        first_id: the file's first action id, 0 or 1; the returned ids start at 1.

    Raises:
        InputError: the file cannot be read as text, or its first row names the columns in another order.
    """
    rows = read_ava_csv(path)
    faults = Faults(rows.file, lambda i: f"row {rows.lines[i]}", len(rows))
    expected = " or ".join(", ".join(map(str, widths)).rsplit(", ", 1))
    video_ids = rows.column(0)
    faults.add(
        ~np.isin(rows.widths, widths),
        lambda i: f"column count {rows.widths[i]}{_parted(video_ids[i].as_py())}",
        expected,
    )
    faults.add_video_ids(video_ids)
    stamps = rows.column(1)
    timestamp = numbers(stamps)
    in_range = np.abs(timestamp) < 1e9  # NaN is not
    faults.add(~in_range, lambda i: f"timestamp {shown(stamps[i].as_py())}", "a number of seconds")
    fields = [rows.column(index) for index in range(2, 8)]
    empty = np.logical_and.reduce([pc.equal(each, "").to_numpy(zero_copy_only=False) for each in fields])
    boxes = np.stack([numbers(each) for each in fields[:4]], axis=1)
    faults.add_boxes(boxes, fields[:4], ~empty)
    action, person = numbers(fields[4]), numbers(fields[5])
    known = range(first_id, first_id + classes)
    no_class = ~empty & ~_is_whole(action, known[0], known[-1])
    others = action[no_class & ~faults.bad & _is_whole(action, 0, LARGEST)]
    faults.add(
        no_class,
        lambda i: f"action id {shown(fields[4][i].as_py())}",
        f"a whole number from {known[0]} to {known[-1]}",
        "unknown-action",
    )
    faults.add(
        pc.not_equal(fields[5], "").to_numpy(zero_copy_only=False) & ~_is_whole(person, -LARGEST - 1, LARGEST),
        lambda i: f"person id {shown(fields[5][i].as_py())}",
        "a whole number or nothing",
    )
    names, video = ranked(video_ids)
    return AvaRows(
        split=split,
        faults=faults,
        lines=rows.lines,
        video_ids=names,
        video=video,
        timestamp=timestamp,
        boxes_xyxy=boxes,
        action=action - first_id + 1,
        person=person,
        empty=empty,
        other_ids=OtherIds(known, frozenset(others.astype(int).tolist())) if len(others) else None,
    )


def _parted(first: str) -> str:
    """Describe the separator of a row that uses another one than the comma."""
    sign = next((name for sign, name in ((";", "';'"), ("\t", "tabs")) if sign in first), "")
    return f" (fields are parted by {sign}, not by commas)" if sign else ""


def renamed(path: Path, rows: AvaRows, name_of: Callable[[str], str] = film_of) -> AvaRows:
    """Return the rows with file names in place of ids replaced by the ids of the films.

    Raises:
        InputError: two files in different folders have the same name.
    """
    names = [name_of(each) for each in rows.video_ids]
    folder: dict[str, str] = {}
    for name, clip in zip(names, rows.video_ids, strict=True):
        own = clip.rpartition("/")[0]
        if folder.setdefault(name, own) != own:
            raise InputError(f"{path}: two clips are named {name}, expected one file of each name")
    distinct, place = ranked(pa.array(names, pa.string()))
    return replace(rows, video_ids=distinct, video=place[rows.video])


def note_early(rows: AvaRows, timelines: dict[str, Timeline]) -> None:
    """Mark the rows whose time lies before the start of their film."""

    def found(i: int) -> str:
        first = timelines[rows.video_ids[rows.video[i]]].first_allowed
        return f"timestamp {rows.timestamp[i]:.10g} in a film that begins at timestamp {first:.10g}"

    rows.faults.add(
        rows.time_seconds(timelines) < 0,
        found,
        "a time in the film (videos.csv sets first_timestamp and offset_seconds)",
        "before-film",
    )


def note_repeats(rows: AvaRows) -> None:
    """Mark rows that repeat an earlier row, name another person for the same label, or call its keyframe empty."""
    good = rows.good()
    # Boxes of empty rows are NaN, and NaN equals nothing: zeros let these rows compare equal.
    label = np.nan_to_num(np.column_stack([rows.boxes_xyxy, rows.action]))
    earlier = np.arange(len(rows.lines))
    earlier[good] = good[first_alike([key[good] for key in (rows.video, rows.timestamp, rows.empty, *label.T)])]
    repeated = earlier != np.arange(len(earlier))
    both = rows.person == rows.person[earlier]
    neither = np.isnan(rows.person) & np.isnan(rows.person[earlier])
    rows.faults.add(
        repeated & (both | neither),
        lambda i: f"a repetition of {rows.faults.where(earlier[i])}",
        "each row once",
        "repeated",
    )
    rows.faults.add(
        repeated,
        lambda i: f"another person with the box and action of {rows.faults.where(earlier[i])}",
        "one person in a box",
        "conflicting",
    )
    if not rows.empty.any():
        return
    # Sort rows with a box first: then the first row of a keyframe tells whether the keyframe has a box.
    good = good[np.argsort(rows.empty[good], kind="stable")]
    first = np.arange(len(rows.lines))
    first[good] = good[first_alike([rows.video[good], rows.timestamp[good]])]
    rows.faults.add(
        rows.empty & ~rows.empty[first],
        lambda i: f"an empty keyframe that has a box in {rows.faults.where(first[i])}",
        "two columns only for a keyframe without boxes",
        "conflicting",
    )


def note_foreign_videos(rows: AvaRows, timelines: dict[str, Timeline]) -> None:
    """Mark the rows of excluded keyframes whose video is in another split or in none."""
    splits = [timelines[each].split if each in timelines else "no split" for each in rows.video_ids]
    rows.faults.add(
        np.array([split != rows.split for split in splits], bool)[rows.video],
        lambda i: f"video {shown(rows.video_ids[rows.video[i]])} of {splits[rows.video[i]]}",
        f"a video of {rows.split}",
    )
